# shellcheck shell=bash
# Sourced by scripts that resume their experiments when they are run again.

# resume EXPERIMENT COMMAND [FLAG ...]: resume the experiment from its newest checkpoint, or start it. A flag that names
# the epoch, or asks to start over, wins.
resume() {
    local experiment=$1 command=$2 automatic=(--resume auto)
    shift 2
    case " $* " in *" --checkpoints"* | *" --overwrite"*) automatic=() ;; esac
    "$command" --experiment_name "$experiment" "${automatic[@]}" "$@"
}
