# Sourced by the two example scripts, which define `titles`, `example NUMBER [FLAG ...]` and `here`.
# Without a number it shows the list and asks; flags after the number go to the training command.

python=${PYTHON:-python}

# The last epoch of an experiment that can be resumed from; nothing if there is none.
last_epoch() {
    find "checkpoints/$1" -name 'epoch_*.pth' 2>/dev/null | sort | tail -n 1 | sed -E 's/.*epoch_0*([0-9]+)\.pth/\1/'
}

# resume EXPERIMENT COMMAND ...: go on where the experiment stopped, or start it where there is nothing yet.
resume() {
    local experiment=$1 epoch
    shift
    epoch=$(last_epoch "$experiment")
    if [ -n "$epoch" ]; then
        "$@" --experiment_name "$experiment" --checkpoints "$epoch"
    else
        echo "$experiment has no checkpoint yet: starting it"
        "$@" --experiment_name "$experiment"
    fi
}

if [ $# -eq 0 ]; then
    for index in "${!titles[@]}"; do
        printf '%3d  %s\n' "$((index + 1))" "${titles[$index]}"
    done
    read -rp "Which one? " number
    set -- "$number"
fi
number=$1
shift
if ! [[ $number =~ ^[1-9][0-9]*$ ]] || [ "$number" -gt "${#titles[@]}" ]; then
    echo "$0: there is no example $number: choose from 1 to ${#titles[@]}" >&2
    exit 2
fi
echo "Example $number: ${titles[$((number - 1))]}"
example "$number" "$@"
