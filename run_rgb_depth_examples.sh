#!/usr/bin/env bash
# Examples that train an RGB network, the teacher, on BatVision V2:
#     bash run_rgb_depth_examples.sh                      show a menu
#     bash run_rgb_depth_examples.sh 6                    run one example
#     bash run_rgb_depth_examples.sh 8 --data_dir DIR     with further flags, which override the example's
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

titles=(
    "Basic training"
    "With Weights & Biases"
    "Lightweight: 32 base channels, a quarter of the parameters"
    "High capacity: transposed convolutions, 31 M parameters"
    "Resume the basic training from its last checkpoint"
    "Teacher for distillation, with an exponential moving average of the weights"
    "Custom loss weights: L1 and SILog, gradient matching"
    "Quick test: two epochs of a small network"
)

train() { "$python" "$here/train_rgb_depth.py" --dataset batvisionv2 "$@"; }

example() {
    local number=$1
    shift
    case $number in
        1) train --batch_size 64 --learning_rate 0.0001 --experiment_name rgb_depth_basic "$@" ;;
        2) train --use_wandb --wandb_project echodepth --experiment_name rgb_depth_wandb "$@" ;;
        3) train --base_channels 32 --experiment_name rgb_depth_light "$@" ;;
        4) train --base_channels 64 --bilinear False --batch_size 32 --experiment_name rgb_depth_large "$@" ;;
        5) resume rgb_depth_basic train --batch_size 64 --learning_rate 0.0001 "$@" ;;
        6) train --base_channels 64 --nb_epochs 200 --ema_decay 0.999 --experiment_name rgb_teacher_for_kd "$@" ;;
        7) train --criterion Combined --lambda_l1 0.5 --lambda_edge 0.5 --lambda_smooth 0.05 \
            --experiment_name rgb_depth_custom_loss "$@" ;;
        8) train --base_channels 16 --image_size 128 --batch_size 8 --nb_epochs 2 --save_frequency 1 --overwrite \
            --experiment_name rgb_depth_quick "$@" ;;
    esac
}

. "$here/examples/menu.sh"
