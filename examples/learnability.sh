#!/usr/bin/env bash
# Accuracy of RGB and audio on simulated rooms: three seeds each, 203 training rooms, 58 test rooms.
# It takes about an hour on two cores. After an interruption, run it again: it resumes.
set -euo pipefail
source "$(dirname "$0")/resume.sh"

data=data/learnability
flags=(
    --dataset simulated --data_dir "$data" --image_size 128 --base_channels 8 --batch_size 8 --learning_rate 0.002
    --nb_epochs 10 --save_frequency 2 --num_workers 0
)
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} # two trainings side by side, a core each

rgb() { echodepth train rgb "${flags[@]}" "$@"; }
binaural() { echodepth train binaural "${flags[@]}" --attention_levels 4 5 "$@"; }
three_seeds() {
    for seed in 0 1 2; do
        resume "learnability_$1_$seed" "$1" --seed "$seed"
    done
}

echodepth simulate --out "$data" --rooms 290 --poses 10 --image_size 128
three_seeds rgb &
three_seeds binaural
wait $!
echodepth compare learnability_{rgb,binaural}_{0..2} --name learnability
