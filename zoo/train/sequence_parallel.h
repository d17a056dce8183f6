// Sequences cut along time: each of some ranks has consecutive tokens of the same rows, hands the recurrent state
// behind its tokens to the next one, and gets that state's gradient back.
#pragma once
#include <cstdint>
#include <vector>

#include "train/process_group.h"
#include "wkv/models/state.h"

namespace wkv::zoo {

// The ranks that share rows follow each other in the group. All make the same calls row by row, in the same order, so
// that one rank computes a row while the next one computes the row before it.
class WKV_API StateRelay {
 public:
  // This rank is number `index` of `count`. like: the state of one row, as each of them is.
  StateRelay(ProcessGroup& group, int64_t index, int64_t count, models::State like);

  bool first() const { return index_ == 0; }
  bool last() const { return index_ == count_ - 1; }

  // The state before this rank's tokens of the next row; not on the first rank. Its gradient goes back to where it came
  // from in the backward pass.
  models::State receive();
  // Hands on the state behind them; not on the last rank. Returns a zero that the loss has to contain: in its backward
  // pass the state's gradient arrives.
  at::Tensor send(const models::State& state);
  // The first rank's states of any rows are replaced by the last rank's; nothing on others.
  void carry_over(models::State& states);
  // Waits until everything sent has arrived.
  void settle();

 private:
  friend struct ReceivedState;
  friend struct SentState;
  using Tensors = std::vector<at::Tensor>;
  void send_tensors(const Tensors& tensors, int64_t to);
  Tensors receive_tensors(const Tensors& like, int64_t from);
  int64_t neighbour(int64_t index) const { return group_.rank() - index_ + index; }
  Tensors tensors_of(const models::State& state) const;  // in the dtypes of like_

  ProcessGroup& group_;
  int64_t index_, count_;
  models::State like_;
  Tensors like_tensors_, like_floats_;
  std::vector<ProcessGroup::Pending> sends_;
};

}  // namespace wkv::zoo
