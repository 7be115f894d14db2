#!/bin/sh
# What nvcc -Xptxas -v writes for one kernel: ptxas_says.sh clean|spill|frame|wgmma
frame=0 spill=0
case $1 in
  spill) spill=24 ;;
  frame) frame=16 ;;
  wgmma)
    echo "ptxas info    : (C7510) Potential Performance Loss: wgmma.mma_async instructions are" \
      "serialized due to non wgmma instructions defining accumulator registers" >&2
    ;;
esac
{
  echo "ptxas info    : Compiling entry function 'Kernel' for 'sm_90a'"
  echo "    $frame bytes stack frame, $spill bytes spill stores, $spill bytes spill loads"
  echo "ptxas info    : Used 168 registers, used 1 barriers"
} >&2
