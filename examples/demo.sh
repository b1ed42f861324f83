#!/usr/bin/env bash
# Few labels: simulate rooms, a tenth of them with depth; train a teacher on these, a student on these alone and a
# student that the teacher also supervises in the other rooms; compare them on test rooms in one report. `make demo`
# runs it; `quick` is a smaller version.
set -euo pipefail

size=${1:-full}
case $size in
    full) name=demo amount=(--preset demo) image_size=64 epochs=12 labelled=10 spectrogram=() ;;
    quick)
        name=demo_quick amount=(--rooms 30 --poses 4 --image_size 32) image_size=32 epochs=6 labelled=4
        spectrogram=(--audio_bins 16 --audio_frames 64)
        ;;
    *)
        echo "$0: the argument is full or quick, not $size" >&2
        exit 2
        ;;
esac
data=data/$name
started=$SECONDS

step() { printf '\n\033[1m%s\033[0m  (%d s so far)\n' "$1" "$((SECONDS - started))"; }

flags=(
    --dataset simulated --data_dir "$data" --image_size "$image_size" --base_channels 8 --batch_size 8
    --learning_rate 0.002 --num_workers 0 --overwrite
    --label_fraction "$(awk "BEGIN { print 1 / $labelled }")" --val_label_fraction "$(awk "BEGIN { print 1 / $labelled }")"
)
audio=("${flags[@]}" "${spectrogram[@]}")
# Without the rooms that have no depth, more epochs make as many steps.
many=(--nb_epochs "$((epochs * labelled))" --val_frequency "$labelled" --save_frequency "$((epochs * labelled))")

step "1/5  Simulating rooms, images, depth and binaural echoes"
echodepth simulate --out "$data" "${amount[@]}"

step "2/5  Training the teacher, an RGB network, on one of $labelled rooms"
echodepth train rgb "${flags[@]}" "${many[@]}" --experiment_name "${name}_rgb"

step "3/5  Training the student, an audio network, on the same rooms, without the teacher"
echodepth train binaural "${audio[@]}" "${many[@]}" --experiment_name "${name}_audio"

step "4/5  Training the student by distillation: in the other rooms, the teacher's depth replaces what was not measured"
echodepth train distill "${audio[@]}" --nb_epochs "$epochs" --save_frequency "$epochs" --teacher "${name}_rgb" \
    --experiment_name "${name}_distilled"

step "5/5  Comparing them on test rooms"
echodepth compare "${name}_rgb" "${name}_audio" "${name}_distilled" --name "$name"

printf '\nDone in %d s. Open the report: %s/results/%s/comparison.html\n' "$((SECONDS - started))" "$PWD" "$name"
