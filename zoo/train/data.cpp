#include "train/data.h"

#include <ATen/ops/stack.h>
#include <ATen/ops/tensor.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <iterator>
#include <numeric>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "train/random_bits.h"
#include "train/token_file.h"
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

bool continues_character(unsigned char byte) { return (byte & 0xC0) == 0x80; }

TextData read_text_files(const TrainConfig::Data& config, const Tokenizer& tokenizer) {
  const std::string text = read_files(config.files);
  const auto size = static_cast<double>(text.size());
  size_t cut = text.size() - static_cast<size_t>(std::llround(size * config.held_out));
  while (cut < text.size() && continues_character(static_cast<unsigned char>(text[cut]))) ++cut;
  const std::string_view view = text;
  const auto train = tokens_of(tokenizer, view.substr(0, cut));
  return {.train = train,
          .held_out = tokens_of(tokenizer, view.substr(cut)),
          .held_out_bytes = static_cast<int64_t>(text.size() - cut),
          .bytes_per_token = static_cast<double>(cut) / static_cast<double>(std::max<int64_t>(train.numel(), 1)),
          .vocab = tokenizer.vocab_size()};
}

// What each token of a vocabulary stands for, as far as cutting a text needs it.
struct TokenBytes {
  explicit TokenBytes(const Tokenizer& tokenizer) {
    for (int64_t token = 0; token < tokenizer.vocab_size(); ++token) {
      const std::string text = tokenizer.decode({token});
      count.push_back(static_cast<int64_t>(text.size()));
      inside_character.push_back(!text.empty() && continues_character(static_cast<unsigned char>(text[0])));
    }
  }
  std::vector<int64_t> count;
  std::vector<bool> inside_character;
};

// Of how many tokens the held-out part consists, and of how many bytes: the last ones, from the beginning of a document
// where one lies in their first half, else from that of a character.
std::pair<int64_t, int64_t> held_out_part(const TokenFile& file, const TokenBytes& all, double share) {
  const auto wanted = std::llround(static_cast<double>(file.bytes) * share);
  return with_tokens(file.tokens, [&](auto tokens) {
    size_t cut = tokens.size();
    int64_t bytes = 0;
    while (cut > 0 && bytes < wanted) bytes += all.count[static_cast<size_t>(tokens[--cut])];
    const std::span ends(file.ends.const_data_ptr<int64_t>(), static_cast<size_t>(file.ends.numel()));
    const auto document = std::ranges::lower_bound(ends, static_cast<int64_t>(cut));
    size_t next = cut;
    int64_t left = bytes;
    while (next < tokens.size() && static_cast<int64_t>(next) < *document && 2 * left > wanted)
      left -= all.count[static_cast<size_t>(tokens[next++])];
    if (next < tokens.size() && static_cast<int64_t>(next) == *document)
      return std::pair(static_cast<int64_t>(tokens.size() - next), left);
    while (cut < tokens.size() && all.inside_character[static_cast<size_t>(tokens[cut])])
      bytes -= all.count[static_cast<size_t>(tokens[cut++])];
    return std::pair(static_cast<int64_t>(tokens.size() - cut), bytes);
  });
}

TextData read_tokenised(const TrainConfig::Data& config, const Tokenizer& tokenizer) {
  if (config.files.size() != 1)
    throw Error(ErrorCode::invalid_argument,
                fmt::format("data.files: a tokenised text stands alone: make one of all files, got {} of them",
                            config.files.size()));
  const TokenFile file = read_token_file(config.files[0], tokenizer);
  const auto [count, bytes] = held_out_part(file, TokenBytes(tokenizer), config.held_out);
  const int64_t cut = file.tokens.numel() - count;
  return {.train = file.tokens.slice(0, 0, cut),
          .held_out = file.tokens.slice(0, cut),
          .held_out_bytes = bytes,
          .bytes_per_token = static_cast<double>(file.bytes - bytes) / static_cast<double>(std::max<int64_t>(cut, 1)),
          .vocab = tokenizer.vocab_size()};
}

bool is_tokenised(const std::string& file) { return file.ends_with(".safetensors"); }

}  // namespace

TextData load_text(const TrainConfig::Data& config) {
  const auto tokenizer = load_tokenizer(config.tokenizer);
  const bool tokenised = std::ranges::any_of(config.files, is_tokenised);
  TextData data = tokenised ? read_tokenised(config, *tokenizer) : read_text_files(config, *tokenizer);
  if (data.train.numel() == 0)
    throw Error(ErrorCode::invalid_argument,
                fmt::format("data.files: there is no text to train on in {}", fmt::join(config.files, ", ")));
  return data;
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
  std::vector<at::Tensor> rows;
  for (const int64_t start : starts) rows.push_back(tokens.narrow(0, start, context + 1).to(at::kLong));
  return at::stack(rows);
}

}  // namespace wkv::zoo
