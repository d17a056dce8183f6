// The fibers behind cuda_on_host.h.
#include "cuda_on_host.h"

#include <ucontext.h>

#include <algorithm>
#include <atomic>
#include <csetjmp>
#include <memory>
#include <numeric>
#include <random>
#include <stdexcept>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

namespace cuda_on_host {
namespace {

constexpr size_t kStackBytes = 256 << 10, kExchangeBytes = 64;

// Lets AddressSanitizer know that the stack changes.
struct StackChange {
#if defined(__SANITIZE_ADDRESS__)
  static void start(void** save, const void* stack, size_t size) { __sanitizer_start_switch_fiber(save, stack, size); }
  static void finish(void* saved, const void** from, size_t* size) {
    __sanitizer_finish_switch_fiber(saved, from, size);
  }
#else
  static void start(void**, const void*, size_t) {}
  static void finish(void*, const void**, size_t*) {}
#endif
};

// Those who wait for each other: a block, or one of its warps.
struct Group {
  int alive = 0, arrived = 0;
  int64_t generation = 0;  // grows when all have arrived

  void arrive() {
    if (++arrived == alive) open();
  }
  void leave() {
    --alive;
    if (arrived > 0 && arrived == alive) open();
  }
  void open() {
    arrived = 0;
    ++generation;
  }
};

struct Copy {
  void* to;
  const void* from;
  size_t size;
};

// Kept from launch to launch: fresh pages are slow.
char* stack_of_fiber(size_t i) {
  static thread_local std::vector<std::unique_ptr<char[]>> stacks;
  while (stacks.size() <= i) stacks.emplace_back(new char[kStackBytes]);
  return stacks[i].get();
}

struct Fiber {
  char* stack = nullptr;
  ucontext_t start;
  jmp_buf resume;
  bool started = false, done = false;
  const Group* waits_for = nullptr;
  int64_t until = 0;  // the generation to wait for
  Place place;
  std::vector<std::vector<Copy>> copies;  // committed groups, and the open one at the end
  int exchanges = 0;
  void* sanitizer_stack = nullptr;

  bool ready() const { return !done && (!waits_for || waits_for->generation >= until); }
};

class Block {
 public:
  // The size of a block is a whole number of warps.
  Block(dim3 grid, dim3 size, size_t shared_bytes, uint64_t seed, const std::function<void()>& thread)
      : thread_(thread),
        shared_(shared_bytes + kAlignment),
        random_(seed),
        fibers_(size_t{size.x} * size.y * size.z),
        warps_(fibers_.size() / kWarpSize),
        exchange_(2 * warps_.size() * kWarpSize * kExchangeBytes) {
    if (fibers_.size() % kWarpSize != 0 || fibers_.size() > 1024) throw std::logic_error("not a size of a block");
    for (size_t i = 0; i < fibers_.size(); ++i) {
      const auto n = static_cast<unsigned>(i);
      fibers_[i].stack = stack_of_fiber(i);
      fibers_[i].place = {
          {n % size.x, n / size.x % size.y, n / (size.x * size.y)}, {}, size, grid, static_cast<int>(i % kWarpSize)};
    }
  }

  void run(dim3 index) {
    std::memset(shared_.data(), 0xff, shared_.size());  // NaN
    block_ = {static_cast<int>(fibers_.size())};
    warps_.assign(warps_.size(), {kWarpSize});
    for (auto& fiber : fibers_) {
      fiber.started = fiber.done = false;
      fiber.waits_for = nullptr;
      fiber.place.block = index;
      fiber.copies.assign(1, {});
      fiber.exchanges = 0;
    }
    std::vector<size_t> order(fibers_.size());
    std::iota(order.begin(), order.end(), 0);
    while (block_.alive > 0) {
      std::shuffle(order.begin(), order.end(), random_);
      bool progress = false;
      for (const size_t i : order) {
        if (!fibers_[i].ready()) continue;
        progress = true;
        take_turn(i);
        if (error_) std::rethrow_exception(error_);
      }
      if (!progress) throw std::runtime_error("deadlock: threads of a block wait at different barriers");
    }
  }

  const Place& place() const { return fibers_[running_].place; }
  void* shared() {
    return reinterpret_cast<void*>((reinterpret_cast<uintptr_t>(shared_.data()) + kAlignment - 1) / kAlignment *
                                   kAlignment);
  }
  void block_barrier() { wait(block_); }
  void warp_barrier() { wait(warps_[running_ / kWarpSize]); }

  const char* exchange(const void* mine, size_t size) {
    Fiber& fiber = fibers_[running_];
    if (warps_[running_ / kWarpSize].alive != kWarpSize)
      throw std::logic_error("an exchange in a warp that lanes left");
    // Two areas in turn: a lane may start the next exchange while another still reads from this one.
    char* const area = exchange_.data() +
                       ((fiber.exchanges++ % 2) * warps_.size() + running_ / kWarpSize) * kWarpSize * kExchangeBytes;
    std::memcpy(area + fiber.place.lane * kExchangeBytes, mine, size);
    warp_barrier();
    return area;
  }
  std::vector<std::vector<Copy>>& copies() { return fibers_[running_].copies; }

  static Block*& current() {
    static thread_local Block* block = nullptr;
    return block;
  }

 private:
  static constexpr uintptr_t kAlignment = 128;

  void take_turn(size_t i) {
    running_ = i;
    Fiber& fiber = fibers_[i];
    StackChange::start(&scheduler_stack_, fiber.stack, kStackBytes);
    if (_setjmp(scheduler_) == 0) {
      if (fiber.started) _longjmp(fiber.resume, 1);
      fiber.started = true;
      getcontext(&fiber.start);
      fiber.start.uc_stack.ss_sp = fiber.stack;
      fiber.start.uc_stack.ss_size = kStackBytes;
      fiber.start.uc_link = nullptr;
      makecontext(&fiber.start, &Block::enter, 0);
      setcontext(&fiber.start);
    }
    StackChange::finish(scheduler_stack_, nullptr, nullptr);
  }
  static void enter() {
    Block& block = *current();
    StackChange::finish(nullptr, &block.scheduler_bottom_, &block.scheduler_bytes_);
    Fiber& fiber = block.fibers_[block.running_];
    try {
      block.thread_();
    } catch (...) {
      block.error_ = std::current_exception();
    }
    fiber.done = true;
    block.block_.leave();
    block.warps_[block.running_ / kWarpSize].leave();
    StackChange::start(nullptr, block.scheduler_bottom_, block.scheduler_bytes_);
    _longjmp(block.scheduler_, 1);
  }
  void wait(Group& group) {
    Fiber& fiber = fibers_[running_];
    fiber.waits_for = &group;
    fiber.until = group.generation + 1;
    group.arrive();
    StackChange::start(&fiber.sanitizer_stack, scheduler_bottom_, scheduler_bytes_);
    if (_setjmp(fiber.resume) == 0) _longjmp(scheduler_, 1);
    StackChange::finish(fiber.sanitizer_stack, &scheduler_bottom_, &scheduler_bytes_);
    fiber.waits_for = nullptr;
  }

  const std::function<void()>& thread_;
  std::vector<char> shared_;
  std::mt19937_64 random_;
  std::vector<Fiber> fibers_;
  Group block_;
  std::vector<Group> warps_;
  std::vector<char> exchange_;
  size_t running_ = 0;
  jmp_buf scheduler_;
  void* scheduler_stack_ = nullptr;
  const void* scheduler_bottom_ = nullptr;
  size_t scheduler_bytes_ = 0;
  std::exception_ptr error_;
};

std::atomic<int64_t> launches = 0;

}  // namespace

const Place& here() { return Block::current()->place(); }
void* dynamic_shared_memory() { return Block::current()->shared(); }
void block_barrier() { Block::current()->block_barrier(); }
void warp_barrier() { Block::current()->warp_barrier(); }
const char* exchange(const void* mine, size_t size) { return Block::current()->exchange(mine, size); }

void copy_later(void* to, const void* from, size_t size) {
  Block::current()->copies().back().push_back({to, from, size});
}
void commit_copies() { Block::current()->copies().emplace_back(); }
void wait_for_copies(int groups_left) {
  auto& copies = Block::current()->copies();
  while (copies.size() > static_cast<size_t>(groups_left) + 1) {
    for (const Copy& copy : copies.front()) std::memcpy(copy.to, copy.from, copy.size);
    copies.erase(copies.begin());
  }
}

void run(dim3 grid, dim3 block, size_t shared_bytes, uint64_t seed, const std::function<void()>& thread) {
  ++launches;
  Block threads(grid, block, shared_bytes, seed, thread);
  struct Restore {
    Block* outer;
    ~Restore() { Block::current() = outer; }
  } const restore{std::exchange(Block::current(), &threads)};
  for (unsigned z = 0; z < grid.z; ++z) {
    for (unsigned y = 0; y < grid.y; ++y) {
      for (unsigned x = 0; x < grid.x; ++x) threads.run({x, y, z});
    }
  }
}

}  // namespace cuda_on_host

extern "C" int64_t cuda_on_host_launches() { return cuda_on_host::launches; }
