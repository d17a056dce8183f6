// The entry of RWKV-7's decoding step: its memory, and its threads.
#include <algorithm>

#include "core/parallel.h"
#include "decode_step/decode_arrays.h"
#include "rwkv7_blocks/rwkv7_blocks.h"

namespace wkv {

bool rwkv7::knows_sizes(int64_t heads, int64_t head_size) {
  return heads * head_size % kPackedSums == 0 && head_size % kPackedGroup == 0 && head_size <= kMostDecodeHeadSize;
}

bool rwkv7_can_decode_cpu(const rwkv7::Decode& model) {
  return rwkv7::knows_sizes(model.heads, model.head_size) &&
         std::all_of(model.layers, model.layers + model.layer_count,
                     [](const rwkv7::DecodeLayer& layer) { return layer.ffn_key.rows % kPackedSums == 0; });
}

void rwkv7_decode_cpu(const rwkv7::Decode& model, const int64_t* slots, int64_t batch, float* x) {
  if (batch == 0) return;
  const int64_t width = model.heads * model.head_size, inputs = decode_inputs(batch);
  bool packed = false;
  int64_t ffn_width = 0, ranks[kRwkv7LowRanks] = {};
  for (const auto* layer = model.layers; layer != model.layers + model.layer_count; ++layer) {
    packed = packed ||
             any_packed({layer->receptance, layer->key, layer->value, layer->output, layer->ffn_key, layer->ffn_value});
    ffn_width = std::max(ffn_width, layer->ffn_key.rows);
    const rwkv7::DecodeLowRank* const low_ranks[] = {&layer->decay, &layer->rate, &layer->gate, &layer->value_residual};
    for (int i = 0; i < kRwkv7LowRanks; ++i) ranks[i] = std::max(ranks[i], low_ranks[i]->rank);
  }

  DecodeArrays arrays(inputs, packed);
  Rwkv7DecodeStep step{{.slots = slots,
                        .batch = batch,
                        .inputs = inputs,
                        .width = width,
                        .x = arrays.values(width),
                        .normal = arrays.values(width),
                        .phases = arrays.take<Phase>(model.layer_count * kRwkv7PhasesOfLayer),
                        .packed = packed_linear_kernels_here(),
                        .threads = torch::stable::get_num_threads()},
                       model};
  for (DecodeRows& rows : step.mixed) rows = arrays.rows(width);
  step.gated = arrays.rows(width);
  step.ffn_mixed = arrays.rows(width);
  step.ffn_hidden = arrays.rows(ffn_width);
  for (float** rows : {&step.receptance, &step.key, &step.value, &step.first_value}) *rows = arrays.values(width);
  for (int i = 0; i < kRwkv7LowRanks; ++i) step.hidden[i] = arrays.values(ranks[i]);
  std::copy(x, x + batch * width, step.x);

  const Rwkv7Kernels& kernels = rwkv7_kernels().of[static_cast<int>(model.type)];
  const int64_t scratch_bytes = kernels.wkv_scratch(model.head_size);
  parallel_for(0, step.threads, /*grain=*/1, [&](int64_t, int64_t) {
    const Scratch scratch(scratch_bytes);
    kernels.step(step, scratch.get());
  });
  std::copy(step.x, step.x + batch * width, x);
}

}  // namespace wkv
