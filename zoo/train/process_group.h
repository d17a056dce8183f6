// The processes that train one model together, one of which this is.
#pragma once
#include <ATen/core/Tensor.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "wkv/export.h"

namespace wkv::zoo {

// All calls are collective: every rank makes the same ones in the same order. All throw wkv::Error, network, that names
// the rank that is gone or what it stopped for.
class WKV_API ProcessGroup {
 public:
  // An exchange on its way: the tensor is not to be touched before wait() returns.
  class Pending {
   public:
    explicit Pending(std::function<void()> wait) : wait_(std::move(wait)) {}
    void wait() { wait_(); }

   private:
    std::function<void()> wait_;
  };

  ProcessGroup(int64_t rank, int64_t size) : rank_(rank), size_(size) {}
  virtual ~ProcessGroup() = default;
  ProcessGroup(const ProcessGroup&) = delete;
  ProcessGroup& operator=(const ProcessGroup&) = delete;

  int64_t rank() const { return rank_; }
  int64_t size() const { return size_; }
  virtual const std::string& name() const = 0;  // by which PyTorch's functional collectives know it

  // On contiguous CPU tensors, in place. all_reduce: the sum over all ranks, the same bits on each.
  virtual Pending all_reduce(const at::Tensor& tensor) = 0;
  virtual Pending broadcast(const at::Tensor& tensor, int64_t from) = 0;
  // Between two ranks; what one sends another arrives in that order.
  virtual Pending send(const at::Tensor& tensor, int64_t to) = 0;
  virtual Pending receive(const at::Tensor& tensor, int64_t from) = 0;
  // Every rank's text.
  virtual std::vector<std::string> all_gather(const std::string& text) = 0;

  bool any(bool here);  // is it so on one of the ranks?
  void barrier() { any(false); }

  // Tells the others why this rank is about to leave them.
  virtual void report_failure(const std::string& reason) noexcept = 0;
  // All ranks are done. A group that was not left is never destroyed: its exchanges may still be waiting.
  virtual void leave() = 0;

 private:
  int64_t rank_, size_;
};

// Where ranks find each other.
struct Rendezvous {
  int64_t rank = 0, size = 1;
  std::string address;
  uint16_t port = 0;
  bool hosted = false;  // by rank 0; else something that is there before the ranks, as torchrun has it
  std::string prefix;   // of this run's keys
  std::chrono::milliseconds patience{300'000};  // for the others to come
};

// What the variables of torchrun say: RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT; WKV_RENDEZVOUS_SECONDS: patience.
// size 1 without them. Throws wkv::Error for values that make no sense.
WKV_API Rendezvous rendezvous_from_environment();

// Waits for the other ranks. Null for one rank. Throws wkv::Error that names the ranks that did not come, and where the
// library was built without Gloo.
WKV_API std::unique_ptr<ProcessGroup> join(const Rendezvous& rendezvous);

}  // namespace wkv::zoo
