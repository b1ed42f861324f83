# shellcheck shell=bash
# Sourced by scripts that can be run again: an experiment goes on where it stopped.

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
