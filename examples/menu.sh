# shellcheck shell=bash disable=SC2034,SC2154
# Sourced by the two example scripts, which define `titles` and `example NUMBER [FLAG ...]`, and use `python`.
# Without a number it shows a menu. Flags after the number are passed to the training command.

python=${PYTHON:-python}

# resume EXPERIMENT COMMAND [FLAG ...]: resume the experiment from its newest checkpoint, or start it. A flag that names
# the epoch, or asks to start over, wins.
resume() {
    local experiment=$1 command=$2 automatic=(--resume auto)
    shift 2
    case " $* " in *" --checkpoints"* | *" --overwrite"*) automatic=() ;; esac
    "$command" --experiment_name "$experiment" "${automatic[@]}" "$@"
}

if [ $# -eq 0 ]; then
    for index in "${!titles[@]}"; do
        printf '%3d  %s\n' "$((index + 1))" "${titles[$index]}"
    done
    read -rp "Example number: " number || true
    set -- "$number"
fi
number=$1
shift
if ! [[ $number =~ ^[1-9][0-9]?$ ]] || [ "$number" -gt "${#titles[@]}" ]; then
    echo "$0: there is no example $number: choose from 1 to ${#titles[@]}" >&2
    exit 2
fi
echo "Example $number: ${titles[$((number - 1))]}"
example "$number" "$@"
