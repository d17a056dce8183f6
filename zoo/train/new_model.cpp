#include "train/new_model.h"

#include <fmt/format.h>

#include <map>

#include "wkv/error.h"
#include "wkv/models/based.h"
#include "wkv/models/multi_temporal_rwkv.h"
#include "wkv/models/rrwkv.h"
#include "wkv/models/rwkv4.h"
#include "wkv/models/rwkv5.h"
#include "wkv/models/rwkv6.h"
#include "wkv/models/rwkv7.h"
#include "wkv/models/transformer.h"

namespace wkv::zoo {
namespace {

using Sizes = TrainConfig::Model;
using NewModel = std::shared_ptr<models::LanguageModel> (*)(const Sizes& sizes, int64_t vocab);

models::RWKV4Options rwkv4_options(const Sizes& s, int64_t vocab) {
  models::RWKV4Options options;
  options.layers = s.layers;
  options.width = s.width;
  options.ffn_width = s.ffn_width;
  options.vocab = vocab;
  return options;
}

// What the options of RWKV-5, 6 and 7 and of the Transformer share.
template <typename Options>
Options headed_options(const Sizes& s, int64_t vocab) {
  Options options;
  options.layers = s.layers;
  options.width = s.width;
  options.head_size = s.head_size;
  options.ffn_width = s.ffn_width;
  options.vocab = vocab;
  return options;
}

models::RWKV7Options rwkv7_options(const Sizes& s, int64_t vocab) {
  auto options = headed_options<models::RWKV7Options>(s, vocab);
  options.ranks = {.decay = s.ranks.decay,
                   .in_context_rate = s.ranks.in_context_rate,
                   .value_residual = s.ranks.value_residual,
                   .gate = s.ranks.gate};
  options.first_value_residual = false;
  return options;
}

// As in the released 360m: of five layers one with linear and the next with sliding attention, the others convolve.
models::BasedOptions based_options(const Sizes& s, int64_t vocab) {
  if (s.layers < 3) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("model.layers: based has three kinds of layers, so at least 3 of them, got {}", s.layers));
  }
  models::BasedOptions options;
  options.layers = s.layers;
  options.width = s.width;
  options.heads = options.linear_heads = s.width / s.head_size;
  options.linear_layers.clear();
  options.sliding_layers.clear();
  for (int64_t layer = 1; layer + 1 < s.layers; layer += 5) {
    options.linear_layers.push_back(layer);
    options.sliding_layers.push_back(layer + 1);
  }
  options.ffn_width = s.ffn_width;
  options.vocab = vocab;
  return options;
}

const std::map<std::string, NewModel>& makers() {
  using models::LanguageModel;
  static const std::map<std::string, NewModel> all = {
      {"based",
       [](const Sizes& s, int64_t vocab) -> std::shared_ptr<LanguageModel> {
         return models::Based(based_options(s, vocab)).ptr();
       }},
      {"multi_temporal_rwkv",
       [](const Sizes& s, int64_t vocab) -> std::shared_ptr<LanguageModel> {
         return models::MultiTemporalRWKV(
                    models::MultiTemporalRWKVOptions{.base = rwkv4_options(s, vocab), .perspectives = s.perspectives})
             .ptr();
       }},
      {"rrwkv",
       [](const Sizes& s, int64_t vocab) -> std::shared_ptr<LanguageModel> {
         return models::RRWKV(models::RRWKVOptions{.base = rwkv4_options(s, vocab), .interval = s.interval}).ptr();
       }},
      {"rwkv4",
       [](const Sizes& s, int64_t vocab) -> std::shared_ptr<LanguageModel> {
         return models::RWKV4(rwkv4_options(s, vocab)).ptr();
       }},
      {"rwkv5",
       [](const Sizes& s, int64_t vocab) -> std::shared_ptr<LanguageModel> {
         return models::RWKV5(headed_options<models::RWKV5Options>(s, vocab)).ptr();
       }},
      {"rwkv6",
       [](const Sizes& s, int64_t vocab) -> std::shared_ptr<LanguageModel> {
         return models::RWKV6(headed_options<models::RWKV6Options>(s, vocab)).ptr();
       }},
      {"rwkv7",
       [](const Sizes& s, int64_t vocab) -> std::shared_ptr<LanguageModel> {
         return models::RWKV7(rwkv7_options(s, vocab)).ptr();
       }},
      {"transformer",
       [](const Sizes& s, int64_t vocab) -> std::shared_ptr<LanguageModel> {
         return models::Transformer(headed_options<models::TransformerOptions>(s, vocab)).ptr();
       }},
  };
  return all;
}

}  // namespace

std::vector<std::string> new_model_families() {
  std::vector<std::string> names;
  for (const auto& [name, maker] : makers()) names.push_back(name);
  return names;
}

std::shared_ptr<models::LanguageModel> new_model(const TrainConfig::Model& sizes, int64_t vocab) {
  return makers().at(sizes.family)(sizes, vocab);
}

}  // namespace wkv::zoo
