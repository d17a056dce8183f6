// How the CUDA kernels of wkv6 divide the work, and where a block finds the rows of its tokens. wkv5 is a decay whose
// rows do not advance; bi_wkv6 is a second direction, whose rows go backwards.
#pragma once
#include "core/cuda/platform.cuh"
//
#include "core/cuda/decay.cuh"
#include "core/cuda/sequences.cuh"
#include "wkv6/wkv6.h"

namespace wkv::cuda {

// Tokens that are loaded, and in the chunked form multiplied, together. The backward starts from the states at chunks'
// starts.
inline constexpr int kWkv6Chunk = 16;

// A block for each part of the values, head, sequence and direction.
struct Wkv6Grid {
  Sequences sequences;
  int64_t directions;  // 2: each sequence is scanned from the left and, without u, from the right
  int64_t value_parts;

  int64_t blocks(int64_t heads) const { return directions * sequences.count * heads * value_parts; }
  // States at chunks' starts, [heads, value, key] each: enough for sequences of any lengths, since chunk c of sequence
  // s has the one at first_token / kWkv6Chunk + s + c.
  __device__ __host__ int64_t checkpoints() const { return sequences.tokens / kWkv6Chunk + sequences.count; }
};

struct Wkv6Forward {
  const void* state_before;  // [sequences, heads, value, key]; null: zeros
  void* state_after;         // null: not wanted
  void* y;                   // [directions, tokens, heads, value]; null: not wanted
  bool float_y;              // whatever the io dtype
  void* checkpoints;         // [directions * checkpoints, heads, value, key]; null: not wanted
};

// What the block has to do.
struct Wkv6Task {
  int part, head, direction;
  int64_t sequence, length, first_row, row_step;
  int64_t checkpoint;  // of the first chunk

  __device__ Wkv6Task(const Wkv6Inputs& in, const Wkv6Grid& grid) {
    int64_t block = blockIdx.x;
    part = static_cast<int>(block % grid.value_parts);
    block /= grid.value_parts;
    head = static_cast<int>(block % in.heads);
    block /= in.heads;
    sequence = block % grid.sequences.count;
    direction = static_cast<int>(block / grid.sequences.count);
    const Sequence tokens = grid.sequences[sequence];
    length = tokens.length;
    first_row = (tokens.first_token + (from_right() ? length - 1 : 0)) * in.heads + head;
    row_step = from_right() ? -in.heads : in.heads;
    checkpoint = direction * grid.checkpoints() + tokens.first_token / kWkv6Chunk + sequence;
  }
  __device__ bool from_right() const { return direction == 1; }
  // The row of the t-th token of the scan in tensors [tokens, heads, ...].
  __device__ int64_t row(int64_t t) const { return first_row + t * row_step; }
  __device__ int64_t decay_row(const Wkv6Inputs& in, int64_t t) const { return in.constant_decay ? head : row(t); }
  __device__ int count(int64_t t) const {
    return static_cast<int>(length - t < kWkv6Chunk ? length - t : int64_t{kWkv6Chunk});
  }
  // Where the state of the sequence's head, or of a chunk's start, begins.
  __device__ int64_t state(const Wkv6Inputs& in) const {
    return (sequence * in.heads + head) * in.value_size * in.key_size;
  }
  __device__ int64_t state_at(const Wkv6Inputs& in, int64_t t) const {
    return ((checkpoint + t / kWkv6Chunk) * in.heads + head) * in.value_size * in.key_size;
  }
};

// What a thread reads of shared memory at once.
template <class acc_t>
struct alignas(16) Wkv6Vector {
  static constexpr int kSize = 16 / sizeof(acc_t);
  acc_t value[kSize];
};

// The rows of the tokens of a chunk, in global or shared memory.
template <class io_t>
struct Wkv6Rows {
  const io_t *r, *k, *v;  // of the first token; v from the first value of the part
  DecayInput decay;
  int64_t key_stride, decay_stride, value_stride;  // elements from a token to the next

  __device__ Wkv6Rows(const Wkv6Inputs& in, const Wkv6Task& task, int64_t t, int64_t first_value)
      : r(static_cast<const io_t*>(in.r) + task.row(t) * in.key_size),
        k(static_cast<const io_t*>(in.k) + task.row(t) * in.key_size),
        v(static_cast<const io_t*>(in.v) + task.row(t) * in.value_size + first_value),
        decay(in.decay),
        key_stride(task.row_step * in.key_size),
        decay_stride(in.constant_decay ? 0 : key_stride),
        value_stride(task.row_step * in.value_size) {
    const int64_t bytes = decay.float_w ? sizeof(float) : sizeof(io_t);
    decay.w = static_cast<const char*>(decay.w) + task.decay_row(in, t) * in.key_size * bytes;
  }
};

// Starts copies of `count` rows of n elements, `stride` apart, to rows without gaps.
template <class T>
__device__ inline void copy_rows(T* to, const T* from, int64_t stride, int count, int n) {
  constexpr int kPerCopy = 16 / sizeof(T);
  if (n % kPerCopy == 0 && stride % kPerCopy == 0 && reinterpret_cast<uintptr_t>(from) % 16 == 0) {
    const int copies = n / kPerCopy;
    for (int i = static_cast<int>(threadIdx.x); i < count * copies; i += static_cast<int>(blockDim.x)) {
      const int element = i % copies * kPerCopy;
      copy_async_16(to + i / copies * n + element, from + i / copies * stride + element);
    }
  } else {
    for (int i = static_cast<int>(threadIdx.x); i < count * n; i += static_cast<int>(blockDim.x)) {
      to[i] = from[i / n * stride + i % n];
    }
  }
}

// A chunk's rows on their way to shared memory, while the one before is worked on.
template <class io_t>
class Wkv6Stage {
 public:
  // For blocks with `values` values.
  static int64_t bytes(const Wkv6Inputs& in, int64_t values) {
    return kWkv6Chunk *
           ((2 * in.key_size + values) * static_cast<int64_t>(sizeof(io_t)) + in.key_size * kLargestDecayBytes);
  }

  __device__ Wkv6Stage(char* memory, const Wkv6Inputs& in, int64_t values)
      : w_(memory),
        r_(reinterpret_cast<io_t*>(memory + kWkv6Chunk * in.key_size * kLargestDecayBytes)),
        k_(r_ + kWkv6Chunk * in.key_size),
        v_(k_ + kWkv6Chunk * in.key_size),
        values_(values) {}

  // `values` of the part exist.
  __device__ void start(const Wkv6Inputs& in, const Wkv6Rows<io_t>& rows, int count, int values) const {
    const int keys = static_cast<int>(in.key_size);
    copy_rows(r_, rows.r, rows.key_stride, count, keys);
    copy_rows(k_, rows.k, rows.key_stride, count, keys);
    copy_rows(v_, rows.v, rows.value_stride, count, values);
    if (!in.constant_decay && in.decay.float_w) {
      copy_rows(reinterpret_cast<float*>(w_), static_cast<const float*>(rows.decay.w), rows.key_stride, count, keys);
    } else if (!in.constant_decay) {
      copy_rows(reinterpret_cast<io_t*>(w_), static_cast<const io_t*>(rows.decay.w), rows.key_stride, count, keys);
    }
    commit_copies();
  }
  // The rows of a start, after wait_for_copies<0>() and a barrier.
  __device__ Wkv6Rows<io_t> rows(const Wkv6Inputs& in, Wkv6Rows<io_t> started, int values) const {
    started.r = r_;
    started.k = k_;
    started.v = v_;
    started.key_stride = in.key_size;
    started.value_stride = values;
    if (!in.constant_decay) {
      started.decay.w = w_;
      started.decay_stride = in.key_size;
    }
    return started;
  }

 private:
  static constexpr int64_t kLargestDecayBytes = sizeof(io_t) > sizeof(float) ? sizeof(io_t) : sizeof(float);

  char* w_;
  io_t *r_, *k_, *v_;
  int64_t values_;
};

}  // namespace wkv::cuda
