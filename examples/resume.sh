# shellcheck shell=bash
# Sourced by scripts that resume their experiments when they are run again.

# resume EXPERIMENT COMMAND [FLAG ...]: resume the experiment from its newest checkpoint, or start it.
resume() {
    local experiment=$1 command=$2
    shift 2
    "$command" --experiment_name "$experiment" --resume auto "$@"
}
