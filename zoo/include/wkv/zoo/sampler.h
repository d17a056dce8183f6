// From logits to the next token, in the order of the published inference package (pip package `rwkv`).
#pragma once
#include <cstdint>
#include <optional>
#include <random>
#include <span>
#include <unordered_map>
#include <vector>

#include "wkv/export.h"

namespace wkv::zoo {

struct SamplerOptions {
  double temperature = 1.0;  // 0: the most probable token
  double top_p =
      1.0;  // keep the most probable tokens down to the one that lifts the sum to top_p; 0: the most probable one
  int64_t top_k = 0;               // keep at most so many; 0: all
  double presence_penalty = 0.0;   // subtracted from the logit of every token drawn before
  double frequency_penalty = 0.0;  // subtracted once for every time it was drawn, counts decaying
  double penalty_decay = 0.996;    // of the counts, a step
  bool operator==(const SamplerOptions&) const = default;
};

// The distribution that a token is drawn from: softmax, top-p cut, top-k cut, then p^(1/temperature), normalised.
// Throws wkv::Error for options out of range.
WKV_API std::vector<float> token_distribution(std::span<const float> logits, const SamplerOptions& options);

// Draws tokens one after another: penalties over those drawn, then the distribution, then a draw.
class WKV_API Sampler {
 public:
  Sampler(SamplerOptions options, std::uint64_t seed);
  // logits [V]; banned tokens are never drawn. Remembers what it drew.
  int64_t next(std::span<const float> logits, std::span<const int64_t> banned = {});

 private:
  SamplerOptions options_;
  std::mt19937_64 generator_;
  std::unordered_map<int64_t, double> counts_;
};

}  // namespace wkv::zoo
