// The entry of RWKV-4's decoding step: its memory, and its threads.
#include <algorithm>

#include "core/parallel.h"
#include "decode_step/decode_arrays.h"
#include "rwkv4_blocks/rwkv4_blocks.h"

namespace wkv {

bool rwkv4_can_decode_cpu(const rwkv4::Decode& model) {
  return model.width % kPackedSums == 0 &&
         std::all_of(model.layers, model.layers + model.layer_count, [&](const rwkv4::DecodeLayer& layer) {
           return layer.key.rows == model.width && layer.ffn_key.rows % kPackedSums == 0;
         });
}

void rwkv4_decode_cpu(const rwkv4::Decode& model, const int64_t* slots, int64_t batch, float* x) {
  if (batch == 0) return;
  const int64_t width = model.width, inputs = decode_inputs(batch);
  bool packed = false;
  int64_t ffn_width = 0;
  for (const auto* layer = model.layers; layer != model.layers + model.layer_count; ++layer) {
    packed = packed || any_packed({layer->key, layer->value, layer->receptance, layer->output, layer->ffn_key,
                                   layer->ffn_receptance, layer->ffn_value});
    ffn_width = std::max(ffn_width, layer->ffn_key.rows);
  }

  DecodeArrays arrays(inputs, packed);
  Rwkv4DecodeStep step{{.slots = slots,
                        .batch = batch,
                        .inputs = inputs,
                        .width = width,
                        .x = arrays.values(width),
                        .normal = arrays.values(width),
                        .phases = arrays.take<Phase>(model.layer_count * kRwkv4PhasesOfLayer),
                        .packed = packed_linear_kernels_here(),
                        .threads = torch::stable::get_num_threads()},
                       model};
  for (DecodeRows& rows : step.mixed) rows = arrays.rows(width);
  for (DecodeRows& rows : step.ffn_mixed) rows = arrays.rows(width);
  step.gated = arrays.rows(width);
  step.ffn_hidden = arrays.rows(ffn_width);
  for (float** rows : {&step.key, &step.value, &step.receptance}) *rows = arrays.values(width);
  std::copy(x, x + batch * width, step.x);

  const auto run = rwkv4_kernels().step[static_cast<int>(model.type)];
  parallel_for(0, step.threads, /*grain=*/1, [&](int64_t, int64_t) { run(step); });
  std::copy(step.x, step.x + batch * width, x);
}

}  // namespace wkv
