#include "wkv/zoo/sampler.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "wkv/error.h"

namespace wkv::zoo {
namespace {

void check_sampler_options(const SamplerOptions& options) {
  const auto check = [](bool valid, const char* name, auto value, const char* range) {
    if (!valid)
      throw Error(ErrorCode::invalid_argument, fmt::format("sampler: {} must be {}, got {}", name, range, value));
  };
  check(options.temperature >= 0 && std::isfinite(options.temperature), "temperature", options.temperature,
        "at least 0");
  check(options.top_p >= 0 && options.top_p <= 1, "top_p", options.top_p, "in 0..1");
  check(options.top_k >= 0, "top_k", options.top_k, "at least 0");
  check(std::isfinite(options.presence_penalty), "presence_penalty", options.presence_penalty, "a finite number");
  check(std::isfinite(options.frequency_penalty), "frequency_penalty", options.frequency_penalty, "a finite number");
  check(options.penalty_decay >= 0 && options.penalty_decay <= 1, "penalty_decay", options.penalty_decay, "in 0..1");
}

// The first of the largest logits.
std::size_t checked_argmax(std::span<const float> logits) {
  if (logits.empty()) throw Error(ErrorCode::invalid_argument, "sampler: there are no logits");
  for (std::size_t i = 0; i < logits.size(); ++i) {
    if (std::isnan(logits[i]) || logits[i] == std::numeric_limits<float>::infinity()) {
      throw Error(ErrorCode::invalid_argument, fmt::format("sampler: the logit of token {} is {}", i, logits[i]));
    }
  }
  const auto largest = std::ranges::max_element(logits);
  if (std::isinf(*largest)) throw Error(ErrorCode::invalid_argument, "sampler: no token is left: every logit is -inf");
  return static_cast<std::size_t>(largest - logits.begin());
}

// Drops what is less probable than the token that lifts the sum of the most probable ones to top_p.
void cut_top_p(std::vector<double>& probabilities, double top_p) {
  // Few tokens carry the mass: a heap gives them in order without sorting the vocabulary.
  std::vector<double> heap = probabilities;
  std::ranges::make_heap(heap);
  double cutoff = 0, sum = 0;
  do {
    std::ranges::pop_heap(heap);
    cutoff = heap.back();
    sum += cutoff;
    heap.pop_back();
  } while (sum < top_p && !heap.empty());
  for (double& p : probabilities) {
    if (p < cutoff) p = 0;
  }
}

void cut_top_k(std::vector<double>& probabilities, std::size_t top_k) {
  std::vector<std::size_t> order(probabilities.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  const auto rest = order.begin() + static_cast<std::ptrdiff_t>(top_k);
  std::nth_element(order.begin(), rest, order.end(), [&](std::size_t a, std::size_t b) {
    return probabilities[a] != probabilities[b] ? probabilities[a] > probabilities[b] : a > b;
  });
  std::for_each(rest, order.end(), [&](std::size_t i) { probabilities[i] = 0; });
}

}  // namespace

std::vector<float> token_distribution(std::span<const float> logits, const SamplerOptions& options) {
  check_sampler_options(options);
  const double largest = logits[checked_argmax(logits)];
  const bool greedy = options.temperature == 0;
  std::vector<double> p(logits.size());
  std::ranges::transform(logits, p.begin(), [&](float logit) { return std::exp(logit - largest); });
  const double total = std::accumulate(p.begin(), p.end(), 0.0);

  const double top_p = greedy ? 0 : options.top_p;
  if (top_p < 1) cut_top_p(p, top_p * total);
  if (options.top_k > 0 && static_cast<std::size_t>(options.top_k) < p.size())
    cut_top_k(p, static_cast<std::size_t>(options.top_k));
  // The largest is 1 here, so that no temperature, however low, can underflow all of them.
  if (!greedy && options.temperature != 1) {
    for (double& value : p) value = value > 0 ? std::pow(value, 1 / options.temperature) : 0;
  }
  const double kept = std::accumulate(p.begin(), p.end(), 0.0);
  std::vector<float> result(p.size());
  std::ranges::transform(p, result.begin(), [&](double value) { return static_cast<float>(value / kept); });
  return result;
}

Sampler::Sampler(SamplerOptions options, std::uint64_t seed, std::vector<int64_t> uncounted)
    : options_(options), generator_(seed), uncounted_(std::move(uncounted)) {
  check_sampler_options(options_);
  std::ranges::sort(uncounted_);
}

int64_t Sampler::next(std::span<const float> logits, std::span<const int64_t> banned) {
  const auto size = static_cast<int64_t>(logits.size());
  std::vector<float> adjusted(logits.begin(), logits.end());
  for (const auto& [token, count] : counts_) {
    if (token < size)
      adjusted[token] -= static_cast<float>(options_.presence_penalty + count * options_.frequency_penalty);
  }
  for (const int64_t token : banned) {
    if (token >= 0 && token < size) adjusted[token] = -std::numeric_limits<float>::infinity();
  }

  std::size_t drawn = checked_argmax(adjusted);
  if (options_.temperature > 0) {
    const std::vector<float> p = token_distribution(adjusted, options_);
    // Not std::discrete_distribution, whose draws differ between standard libraries.
    double left = static_cast<double>(generator_() >> 11) * 0x1p-53;
    for (std::size_t i = 0; i < p.size(); ++i) {
      if (p[i] == 0) continue;
      drawn = i;
      left -= p[i];
      if (left < 0) break;
    }
  }

  for (auto& [token, count] : counts_) count *= options_.penalty_decay;
  const auto token = static_cast<int64_t>(drawn);
  counts_[token] += std::ranges::binary_search(uncounted_, token) ? 0 : 1;
  return token;
}

}  // namespace wkv::zoo
