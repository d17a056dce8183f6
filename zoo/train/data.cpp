#include "train/data.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/tensor.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <iterator>
#include <numeric>
#include <random>
#include <string>
#include <string_view>

#include "train/random_bits.h"
#include "wkv/error.h"
#include "wkv/zoo/tokenizer.h"

namespace wkv::zoo {
namespace {

std::string read_files(const std::vector<std::string>& files) {
  std::string text;
  for (const auto& file : files) {
    std::ifstream stream(file, std::ios::binary);
    if (!stream || std::filesystem::is_directory(file))
      throw Error(ErrorCode::not_found, fmt::format("data.files: cannot read {}", file));
    text.append(std::istreambuf_iterator<char>(stream), {});
  }
  return text;
}

at::Tensor tokens_of(const Tokenizer& tokenizer, std::string_view text) {
  const auto tokens = tokenizer.encode(text);
  return at::tensor(tokens, tokenizer.vocab_size() <= 256 ? at::kByte : at::kInt);
}

}  // namespace

TextData load_text(const TrainConfig::Data& config) {
  const auto tokenizer = load_tokenizer(config.tokenizer);
  const std::string text = read_files(config.files);
  const auto size = static_cast<double>(text.size());
  size_t cut = text.size() - static_cast<size_t>(std::llround(size * config.held_out));
  while (cut < text.size() && (static_cast<unsigned char>(text[cut]) & 0xC0) == 0x80) ++cut;
  const std::string_view view = text;
  const auto train = tokens_of(*tokenizer, view.substr(0, cut));
  return {.train = train,
          .held_out = tokens_of(*tokenizer, view.substr(cut)),
          .held_out_bytes = static_cast<int64_t>(text.size() - cut),
          .bytes_per_token = static_cast<double>(cut) / static_cast<double>(std::max<int64_t>(train.numel(), 1)),
          .vocab = tokenizer->vocab_size()};
}

BatchPlan::BatchPlan(int64_t tokens, const TrainConfig& config)
    : consecutive_(config.data.order == "consecutive"),
      rows_(config.batch),
      context_(config.context),
      seed_(config.seed),
      reset_(config.data.reset),
      stream_(std::max<int64_t>(tokens - 1, 0) / (consecutive_ ? rows_ : 1)) {
  if (stream_ < context_)
    throw Error(ErrorCode::invalid_argument,
                fmt::format("context must be at most {} for a training text of {} tokens{}, got {}", stream_, tokens,
                            consecutive_ ? fmt::format(" in {} rows", rows_) : "", context_));
  windows_per_epoch_ = std::max<int64_t>((stream_ - context_ + 1) / context_, 1);
  permutation_.resize(static_cast<size_t>(windows_per_epoch_));
}

void BatchPlan::enter_epoch(int64_t epoch) {
  if (epoch == epoch_) return;
  epoch_ = epoch;
  std::mt19937_64 generator(random_bits(seed_, static_cast<uint64_t>(epoch)));
  const int64_t slack = std::min(context_ - 1, stream_ - windows_per_epoch_ * context_);
  offset_ = static_cast<int64_t>(generator() % static_cast<uint64_t>(slack + 1));
  std::iota(permutation_.begin(), permutation_.end(), int64_t{0});
  if (consecutive_) return;
  for (size_t i = permutation_.size(); i > 1; --i) std::swap(permutation_[i - 1], permutation_[generator() % i]);
}

Windows BatchPlan::batch(int64_t index) {
  Windows windows;
  for (int64_t row = 0; row < rows_; ++row) {
    const int64_t sequence = index * rows_ + row;  // of the whole run
    const int64_t turn = consecutive_ ? index : sequence;
    enter_epoch(turn / windows_per_epoch_);
    const int64_t window = permutation_[static_cast<size_t>(turn % windows_per_epoch_)];
    windows.starts.push_back((consecutive_ ? row * stream_ : 0) + offset_ + window * context_);
    windows.fresh.push_back(!consecutive_ || window == 0 ||
                            uniform(random_bits(~seed_, static_cast<uint64_t>(sequence))) < reset_);
  }
  return windows;
}

double BatchPlan::epochs(int64_t batches) const {
  return static_cast<double>(consecutive_ ? batches : batches * rows_) / static_cast<double>(windows_per_epoch_);
}

at::Tensor gather_windows(const at::Tensor& tokens, const std::vector<int64_t>& starts, int64_t context) {
  const auto first = at::tensor(starts, at::kLong).unsqueeze(1);
  return tokens.take(first + at::arange(context + 1, at::kLong)).to(at::kLong);
}

}  // namespace wkv::zoo
