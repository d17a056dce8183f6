// The forward of wkv6 in chunks, on tensor cores: see wkv6_chunk.cuh. A warp owns 16 values, whose rows of the state
// are its registers from the first token to the last. A token costs 2 N M + 16 M multiply-adds of the tensor cores and,
// for A, 20 N others a block. The arithmetic is that of fp32; for bf16 and fp16, operands have 10 bits of mantissa.
#pragma once
#include "wkv6/wkv6_chunk.cuh"

namespace wkv::cuda {

template <class io_t, int kKeys>
__global__ void wkv6_chunked_kernel(Wkv6Inputs in, Wkv6Grid grid, Wkv6Forward out) {
  constexpr bool kExact = std::is_same_v<io_t, float>;
  using Chunk = Wkv6Chunk<io_t, kKeys>;
  const Wkv6Task task(in, grid);
  const int values = static_cast<int>(blockDim.x) / 2, v_stride = wkv6_stride<float>(values),
            my_value = static_cast<int>(threadIdx.x) / 32 * 16;
  const int64_t first_value = task.part * values;
  const int existing = static_cast<int>(in.value_size - first_value < values ? in.value_size - first_value : values);
  auto* const memory = reinterpret_cast<float*>(shared_memory());
  const Chunk chunk(memory);
  float* const v = memory + Chunk::kElements;
  const Wkv6Stage<io_t> stage(reinterpret_cast<char*>(v + kWkv6Chunk * v_stride), in, values);

  // [value][key], of the values from my_value on.
  WarpTile<kKeys / 8> state;
  const auto for_each_of_state = [&](const auto& function) {  // (element of the head's state, float& value)
    state.for_each([&](int value, int key, float& x) {
      if (my_value + value < existing && key < in.key_size)
        function((first_value + my_value + value) * in.key_size + key, x);
    });
  };
  state.clear();
  if (out.state_before) {
    for_each_of_state(
        [&](int64_t at, float& x) { x = static_cast<const float*>(out.state_before)[task.state(in) + at]; });
  }

  chunk.load_u(in, task.head, !task.from_right());
  if (task.length > 0) stage.start(in, Wkv6Rows<io_t>(in, task, 0, first_value), task.count(0), existing);
  for (int64_t t0 = 0; t0 < task.length; t0 += kWkv6Chunk) {
    const int count = task.count(t0);
    if (out.checkpoints) {
      for_each_of_state(
          [&](int64_t at, float& x) { static_cast<float*>(out.checkpoints)[task.state_at(in, t0) + at] = x; });
    }
    wait_for_copies<0>();
    __syncthreads();
    const Wkv6Rows<io_t> rows = stage.rows(in, Wkv6Rows<io_t>(in, task, t0, first_value), existing);
    chunk.load(in, rows, count);
    wkv6_load_values<io_t>(rows.v, rows.value_stride, count, existing, values, v_stride, v);
    __syncthreads();
    if (t0 + kWkv6Chunk < task.length) {
      const int64_t next = t0 + kWkv6Chunk;
      stage.start(in, Wkv6Rows<io_t>(in, task, next, first_value), task.count(next), existing);
    }
    const auto v_of = [&](int value, int s) { return v[s * v_stride + my_value + value]; };
    if (out.y) {
      chunk.multiply_pairs();
      WarpTile<kWkv6Chunk / 8> y;  // [value][token]
      y.clear();
      y.add_product<kExact>(state, [&](int key, int t) { return chunk.read[t * Chunk::kStride + key]; });
      __syncthreads();
      y.add_product<kExact>(kWkv6Chunk, v_of, [&](int s, int t) { return chunk.pairs[t * Chunk::kPairStride + s]; });
      y.for_each([&](int value, int t, float& x) {
        if (my_value + value >= existing || t >= count) return;
        const int64_t row = task.direction * grid.sequences.tokens * in.heads + task.row(t0 + t);
        store_parameter<io_t>(out.y, out.float_y, row * in.value_size + first_value + my_value + value, x);
      });
    }
    state.for_each([&](int, int key, float& x) { x *= chunk.total[key]; });
    state.template add_product<kExact>(kWkv6Chunk, v_of,
                                       [&](int s, int key) { return chunk.written[s * Chunk::kStride + key]; });
  }
  if (out.state_after) {
    for_each_of_state([&](int64_t at, float& x) { static_cast<float*>(out.state_after)[task.state(in) + at] = x; });
  }
}

}  // namespace wkv::cuda
