// The parts of an RWKV-7 block for many tokens: their division among threads.
#include <algorithm>

#include "core/parallel.h"
#include "core/scratch.h"
#include "rwkv7_blocks/rwkv7_blocks.h"

namespace wkv {
namespace {

const Rwkv7Kernels& kernels_of(ParameterType type) { return rwkv7_kernels().of[static_cast<int>(type)]; }

// Tokens of so many channels to give to a thread at least: some 20 microseconds of work.
int64_t token_grain(int64_t channels) { return (1 << 15) / std::max<int64_t>(1, channels) + 1; }

}  // namespace

void rwkv7_mix_cpu(const rwkv7::Mix& in) {
  const Rwkv7Kernels& kernels = kernels_of(in.type);
  const int64_t grain = token_grain(in.width);
  if (in.added) {
    parallel_for(0, in.sequences * in.length, grain,
                 [&](int64_t first, int64_t last) { kernels.add(in, first, last); });
  }
  // Parts of sequences: the first token of a part costs one normalisation more.
  const int64_t tokens = std::max<int64_t>(16, grain), parts = (in.length + tokens - 1) / tokens;
  parallel_for(0, in.sequences * parts, /*grain=*/1, [&](int64_t first, int64_t last) {
    const Scratch scratch(2 * in.width * static_cast<int64_t>(sizeof(float)));
    for (int64_t i = first; i < last; ++i) {
      const int64_t begin = i % parts * tokens;
      kernels.mix(in, i / parts, begin, std::min(begin + tokens, in.length), reinterpret_cast<float*>(scratch.get()));
    }
  });
}

void rwkv7_prepare_cpu(const rwkv7::Prepare& in) {
  parallel_for(0, in.tokens, token_grain(in.heads * in.head_size),
               [&](int64_t first, int64_t last) { kernels_of(in.type).prepare(in, first, last); });
}

void rwkv7_finish_cpu(const rwkv7::Finish& in) {
  parallel_for(0, in.tokens, token_grain(in.heads * in.head_size),
               [&](int64_t first, int64_t last) { kernels_of(in.type).finish(in, first, last); });
}

void rwkv7_square_relu_cpu(ParameterType type, void* x, int64_t count) {
  parallel_for(0, count, /*grain=*/1 << 15,
               [&](int64_t first, int64_t last) { kernels_of(type).square_relu(x, first, last); });
}

}  // namespace wkv
