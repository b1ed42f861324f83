# shellcheck shell=bash
# Sourced by scripts that resume their experiments when they are run again.

# Print the last epoch with a checkpoint of an experiment; nothing if there is none.
last_epoch() {
    # find fails without the folder, which would end the script.
    { find "checkpoints/$1" -name 'epoch_*.pth' 2>/dev/null || true; } |
        sort | tail -n 1 | sed -E 's/.*epoch_0*([0-9]+)\.pth/\1/'
}

# resume EXPERIMENT COMMAND [FLAG ...]: resume the experiment from its last checkpoint, or start it.
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
