# shellcheck shell=bash disable=SC2034,SC2154
# Sourced by the two example scripts, which define `titles` and `example NUMBER [FLAG ...]`, and use `python`.
# Without a number it shows the list and asks; flags after the number go to the training command.

python=${PYTHON:-python}

# The last epoch of an experiment that can be resumed from; nothing if there is none.
last_epoch() {
    # Without the folder, find fails, which would end the script here.
    { find "checkpoints/$1" -name 'epoch_*.pth' 2>/dev/null || true; } |
        sort | tail -n 1 | sed -E 's/.*epoch_0*([0-9]+)\.pth/\1/'
}

# resume EXPERIMENT COMMAND [FLAG ...]: go on where the experiment stopped, or start it where there is nothing yet.
resume() {
    local experiment=$1 command=$2 epoch
    shift 2
    epoch=$(last_epoch "$experiment")
    if [ -n "$epoch" ]; then
        set -- --checkpoints "$epoch" "$@"
    else
        echo "$experiment has no checkpoint yet: starting it"
    fi
    "$command" --experiment_name "$experiment" "$@"
}

if [ $# -eq 0 ]; then
    for index in "${!titles[@]}"; do
        printf '%3d  %s\n' "$((index + 1))" "${titles[$index]}"
    done
    read -rp "Which one? " number || true
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
