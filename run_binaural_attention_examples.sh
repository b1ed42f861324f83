#!/usr/bin/env bash
# Examples that train an audio network on BatVision V2:
#     bash run_binaural_attention_examples.sh                      show a menu
#     bash run_binaural_attention_examples.sh 7                    run one example
#     bash run_binaural_attention_examples.sh 8 --data_dir DIR     with further flags, which override the example's
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

titles=(
    "Basic training"
    "With Weights & Biases"
    "Lightweight: 32 base channels, attention at levels 3 to 5"
    "BatVision's U-Net baseline, on its magnitude spectrograms"
    "Resume the basic training from its last checkpoint"
    "Curriculum: reconstruction, then gradient matching, then smoothness"
    "Distillation from the teacher of RGB example 6"
    "Quick test: two epochs of a small network"
)

train() { "$python" "$here/train_binaural_attention.py" --dataset batvisionv2 "$@"; }

distil() {
    local teacher=checkpoints/rgb_teacher_for_kd/best
    if [ ! -f "$teacher/config.json" ]; then
        echo "$teacher does not exist: training it first, with the same flags"
        bash "$here/run_rgb_depth_examples.sh" 6 "$@" --experiment_name rgb_teacher_for_kd
    fi
    "$python" "$here/train_distillation.py" --dataset batvisionv2 --teacher "$teacher" \
        --experiment_name binaural_attn_distilled "$@"
}

example() {
    local number=$1
    shift
    case $number in
        1) train --batch_size 64 --learning_rate 0.0001 --experiment_name binaural_attn_basic "$@" ;;
        2) train --use_wandb --wandb_project echodepth --experiment_name binaural_attn_wandb "$@" ;;
        3) train --base_channels 32 --attention_levels 3 4 5 --experiment_name binaural_attn_light "$@" ;;
        4) train --model unet_baseline --front_end batvision \
            --learning_rate 0.001 --experiment_name unet_baseline "$@" ;;
        5) resume binaural_attn_basic train --batch_size 64 --learning_rate 0.0001 "$@" ;;
        6) train --criterion Combined --lambda_edge 0.5 --use_adaptive_loss --spec_masks 2 \
            --experiment_name binaural_attn_curriculum "$@" ;;
        7) distil "$@" ;;
        8) train --base_channels 16 --image_size 128 --attention_levels 3 4 5 --batch_size 8 --nb_epochs 2 \
            --save_frequency 1 --overwrite --experiment_name binaural_attn_quick "$@" ;;
    esac
}

. "$here/examples/menu.sh"
