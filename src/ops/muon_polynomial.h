// The quintic iteration of ops/muon.h, as its source has it: X <- a X + (b A + c A^2) X with A = X X^T, five times.
#pragma once

namespace starling {

constexpr float kMuonA = 3.4445f, kMuonB = -4.7750f, kMuonC = 2.0315f;
constexpr int kMuonIterations = 5;

}  // namespace starling
