// The entry of RWKV-7's decoding step: its memory, and its threads.
#include <algorithm>
#include <vector>

#include "core/parallel.h"
#include "core/scratch.h"
#include "rwkv7_blocks/rwkv7_blocks.h"
#include "thin_linear/thin_linear.h"

namespace wkv {
namespace {

// One block of memory, cut into arrays of zeros.
class Arrays {
 public:
  explicit Arrays(int64_t bytes) : memory_(bytes), next_(memory_.get()) { std::fill(next_, next_ + bytes, char{0}); }
  template <class T>
  T* take(int64_t count) {
    T* const array = reinterpret_cast<T*>(next_);
    next_ += bytes_of<T>(count);
    return array;
  }
  template <class T>
  static int64_t bytes_of(int64_t count) {
    return (count * static_cast<int64_t>(sizeof(T)) + 63) / 64 * 64;
  }

 private:
  const Scratch memory_;
  char* next_;
};

bool any_packed(const rwkv7::DecodeLayer& layer) {
  return std::ranges::any_of(
      std::initializer_list<const rwkv7::DecodeMatrix*>{&layer.receptance, &layer.key, &layer.value, &layer.output,
                                                        &layer.ffn_key, &layer.ffn_value},
      [](const rwkv7::DecodeMatrix* matrix) { return matrix->packed_row_bytes > 0; });
}

}  // namespace

bool rwkv7::knows_sizes(int64_t heads, int64_t head_size) {
  return heads * head_size % kPackedSums == 0 && head_size % kPackedGroup == 0 && head_size <= kMostDecodeHeadSize;
}

bool rwkv7::can_decode(const rwkv7::Decode& model) {
  return knows_sizes(model.heads, model.head_size) &&
         std::all_of(model.layers, model.layers + model.layer_count,
                     [](const rwkv7::DecodeLayer& layer) { return layer.ffn_key.rows % kPackedSums == 0; });
}

void rwkv7::decode(const rwkv7::Decode& model, const int64_t* slots, int64_t batch, float* x) {
  if (batch == 0) return;
  const int64_t width = model.heads * model.head_size, inputs = thin_inputs(batch);
  const rwkv7::DecodeLayer* const layers_end = model.layers + model.layer_count;
  const bool packed = std::any_of(model.layers, layers_end, any_packed);
  int64_t ffn_width = 0, ranks[kRwkv7LowRanks] = {};
  for (const auto* layer = model.layers; layer != layers_end; ++layer) {
    ffn_width = std::max(ffn_width, layer->ffn_key.rows);
    const rwkv7::DecodeLowRank* const low_ranks[] = {&layer->decay, &layer->rate, &layer->gate, &layer->value_residual};
    for (int i = 0; i < kRwkv7LowRanks; ++i) ranks[i] = std::max(ranks[i], low_ranks[i]->rank);
  }

  constexpr int kRowsOfWidth = 1 + kRwkv7Mixes + 2 + 4;  // x, mixed, gated and ffn_mixed, receptance to first_value
  const int64_t phase_count = model.layer_count * kRwkv7PhasesOfLayer;
  int64_t bytes =
      kRowsOfWidth *
          (Arrays::bytes_of<float>(inputs * width) + Arrays::bytes_of<PackedGroup>(inputs * width / kPackedGroup)) +
      Arrays::bytes_of<float>(inputs * ffn_width) + Arrays::bytes_of<PackedGroup>(inputs * ffn_width / kPackedGroup) +
      Arrays::bytes_of<Phase>(phase_count);
  for (const int64_t rank : ranks) bytes += Arrays::bytes_of<float>(inputs * rank);
  Arrays arrays(bytes);

  Rwkv7DecodeStep step{.model = model,
                       .slots = slots,
                       .batch = batch,
                       .inputs = inputs,
                       .x = arrays.take<float>(inputs * width),
                       .phases = arrays.take<Phase>(phase_count),
                       .packed = packed_linear_kernels_here(),
                       .threads = torch::stable::get_num_threads()};
  const auto rows_of = [&](int64_t columns) {
    auto* const values = arrays.take<float>(inputs * columns);
    return DecodeRows{values, packed ? arrays.take<PackedGroup>(inputs * columns / kPackedGroup) : nullptr, columns};
  };
  for (DecodeRows& rows : step.mixed) rows = rows_of(width);
  step.gated = rows_of(width);
  step.ffn_mixed = rows_of(width);
  step.ffn_hidden = rows_of(ffn_width);
  for (float** rows : {&step.receptance, &step.key, &step.value, &step.first_value}) {
    *rows = arrays.take<float>(inputs * width);
  }
  for (int i = 0; i < kRwkv7LowRanks; ++i) step.hidden[i] = arrays.take<float>(inputs * ranks[i]);
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
