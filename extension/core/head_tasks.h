// How the ops with a matrix state for each head (wkv5, wkv6, wkv7, bi_wkv6) divide their work among threads. Results do
// not depend on it: heads and columns are computed alike in any task.
#pragma once
#include <algorithm>
#include <cstdint>
#include <vector>

#include "core/scratch.h"
#include "core/sequences.h"

namespace wkv {

struct HeadSizes {
  int64_t heads, key_size, value_size;
};

// Heads to give to a thread at least, of `tasks` that are all the work, so that one start of a thread is worth its
// cost.
inline int64_t head_grain(int64_t tasks, const std::vector<Sequence>& sequences, const HeadSizes& sizes) {
  constexpr int64_t kWorthwhile = 1 << 18;  // state elements times tokens: some 20 microseconds
  int64_t tokens = 1;
  for (const Sequence& sequence : sequences) tokens += sequence.length;
  const int64_t total = tokens * sizes.heads * sizes.key_size * sizes.value_size;
  return std::max<int64_t>(1, tasks * kWorthwhile / std::max<int64_t>(1, total));
}

// Calls run(row of the sequence, head, scratch) for every head of every sequence.
template <class Run>
void for_heads(const std::vector<Sequence>& sequences, const HeadSizes& sizes, int64_t scratch_bytes, const Run& run) {
  const int64_t tasks = static_cast<int64_t>(sequences.size()) * sizes.heads;
  if (tasks == 0) return;
  parallel_for(0, tasks, head_grain(tasks, sequences, sizes), [&](int64_t first, int64_t last) {
    const Scratch scratch(scratch_bytes);
    for (int64_t task = first; task < last; ++task) run(task / sizes.heads, task % sizes.heads, scratch.get());
  });
}

// A part of a head's scan over its sequence: tokens begin, ..., end - 1 and values first_value, ..., last_value - 1.
struct HeadPart {
  int64_t row, head, begin, end, first_value, last_value;
};

// Calls run(part, scratch) for parts that cover all heads of all sequences. Parts of the same values follow one another
// in time, from token 0 to the last, with the same scratch; a head without tokens has one empty part. first_value is a
// multiple of column_block: columns are divided only where there are too few heads to occupy the threads. Heads of a
// sequence take turns every few tokens: their rows share pages, and all of a long sequence's pages are more than the
// processor can translate without looking them up again for each head.
template <class Run>
void for_head_parts(const std::vector<Sequence>& sequences, const HeadSizes& sizes, int64_t column_block,
                    int64_t tokens_in_turn, int64_t scratch_bytes, const Run& run) {
  constexpr int64_t kScratchTogether = 512 << 10;  // bytes: a part of a core's second-level cache
  const int64_t heads = static_cast<int64_t>(sequences.size()) * sizes.heads, values = sizes.value_size;
  if (heads == 0) return;
  const int64_t threads = torch::stable::get_num_threads();
  const int64_t blocks = (values + column_block - 1) / column_block;
  const int64_t parts = std::clamp<int64_t>((threads + heads - 1) / heads, 1, blocks);
  const int64_t width = (blocks + parts - 1) / parts * column_block;
  const int64_t tasks = heads * parts, tasks_of_row = sizes.heads * parts;
  parallel_for(0, tasks, head_grain(tasks, sequences, sizes), [&](int64_t first, int64_t last) {
    const int64_t together = std::clamp<int64_t>(kScratchTogether / scratch_bytes, 1, last - first);
    const Scratch scratch(together * scratch_bytes);
    for (int64_t begin = first, end; begin < last; begin = end) {
      const int64_t row = begin / tasks_of_row, length = sequences[row].length;
      end = std::min({last, begin + together, (row + 1) * tasks_of_row});
      int64_t token = 0;
      do {
        const int64_t next_token = std::min(token + tokens_in_turn, length);
        for (int64_t task = begin; task < end; ++task) {
          const int64_t first_value = std::min(values, task % parts * width);
          run(HeadPart{row, task / parts % sizes.heads, token, next_token, first_value,
                       std::min(values, first_value + width)},
              scratch.get() + (task - begin) * scratch_bytes);
        }
        token = next_token;
      } while (token < length);
    }
  });
}

}  // namespace wkv
