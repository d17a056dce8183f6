// The one file that includes c10d. Of Gloo's headers only names are used, no class is entered or measured: Debian's
// older ones serve PyTorch's newer library.
#include "train/gloo_group.h"

#include <fmt/format.h>

#include "wkv/error.h"

#ifdef USE_C10D_GLOO
#include <fmt/ranges.h>

#include <condition_variable>
#include <cstdlib>
#include <mutex>
#include <optional>
#include <thread>
#include <torch/csrc/distributed/c10d/GroupRegistry.hpp>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroup.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

namespace wkv::zoo {
namespace {

using std::chrono::milliseconds;
constexpr milliseconds kBeat{250}, kSilence{2000}, kPoll{50};
constexpr std::chrono::minutes kExchange{30};  // evaluation on one rank lets the others wait
constexpr const char* kFailure = "failure";

std::string message_of(const std::exception& error) {
  const auto* c10_error = dynamic_cast<const c10::Error*>(&error);
  std::string text = c10_error != nullptr ? c10_error->what_without_backtrace() : error.what();
  return text.substr(0, text.find('\n'));
}

std::vector<uint8_t> bytes_of(const std::string& text) { return {text.begin(), text.end()}; }
std::string text_of(const std::vector<uint8_t>& bytes) { return {bytes.begin(), bytes.end()}; }

// Shows through the store that this rank lives, from a thread of its own, and tells which others do.
class Pulse {
 public:
  Pulse(c10::intrusive_ptr<c10d::Store> store, int64_t rank, int64_t size)
      : store_(std::move(store)), rank_(rank), size_(size), thread_([this] { run(); }) {}
  ~Pulse() {
    {
      const std::lock_guard lock(mutex_);
      stop_ = true;
    }
    stopped_.notify_all();
    thread_.join();
  }

  // Why the others can't go on: what a rank reported, or who fell silent.
  std::string diagnosis(const std::string& symptom) {
    try {
      const auto before = beats();
      const auto deadline = std::chrono::steady_clock::now() + kSilence;
      while (std::chrono::steady_clock::now() < deadline) {
        if (auto reported = failure(); !reported.empty()) return reported;
        std::this_thread::sleep_for(kPoll);
      }
      const auto after = beats();
      std::vector<size_t> silent;
      for (size_t i = 0; i < after.size(); ++i)
        if (before[i] == after[i]) silent.push_back(i);
      if (silent.empty()) return fmt::format("the connection to another rank broke: {}", symptom);
      return report(fmt::format("rank {} of {} is gone: killed, crashed or cut off", fmt::join(silent, ", "), size_));
    } catch (const std::exception&) {  // the store is gone
      const auto reported = failure();
      return reported.empty() ? fmt::format("rank 0 of {} is gone: killed, crashed or cut off", size_) : reported;
    }
  }

  // The first report stands.
  std::string report(const std::string& text) { return text_of(store_->compareSet(kFailure, {}, bytes_of(text))); }

 private:
  std::string failure() {
    const std::lock_guard lock(mutex_);
    return failure_;
  }

  std::string key(int64_t rank) const { return fmt::format("beat/{}", rank); }

  std::vector<int64_t> beats() {
    std::vector<int64_t> counts;
    for (int64_t i = 0; i < size_; ++i) counts.push_back(store_->add(key(i), 0));
    return counts;
  }

  void run() {
    try {
      for (std::unique_lock lock(mutex_); !stop_; stopped_.wait_for(lock, kBeat)) {
        lock.unlock();
        store_->add(key(rank_), 1);
        const std::string failure = store_->check({kFailure}) ? text_of(store_->get(kFailure)) : "";
        lock.lock();
        failure_ = failure;
      }
    } catch (const std::exception&) {  // the store is gone: the next exchange tells
    }
  }

  const c10::intrusive_ptr<c10d::Store> store_;
  const int64_t rank_, size_;
  std::mutex mutex_;
  std::condition_variable stopped_;
  bool stop_ = false;
  std::string failure_;
  std::thread thread_;
};

c10::intrusive_ptr<c10d::Store> meet(const Rendezvous& rendezvous) {
  const std::string place = fmt::format("{}:{}", rendezvous.address, rendezvous.port);
  const bool host = rendezvous.hosted && rendezvous.rank == 0;
  c10::intrusive_ptr<c10d::Store> store;
  try {
    c10d::TCPStoreOptions options;
    options.port = rendezvous.port;
    options.isServer = host;
    options.waitWorkers = false;
    options.timeout = rendezvous.patience;
    store = c10::make_intrusive<c10d::PrefixStore>(rendezvous.prefix,
                                                   c10::make_intrusive<c10d::TCPStore>(rendezvous.address, options));
  } catch (const std::exception& error) {
    if (host)
      throw Error(ErrorCode::network,
                  fmt::format("rank 0 can't be met at {} (MASTER_ADDR, MASTER_PORT): {}", place, message_of(error)));
    throw Error(ErrorCode::network,
                fmt::format("rank {} of {}: nobody at {} (MASTER_ADDR, MASTER_PORT) within {} s", rendezvous.rank,
                            rendezvous.size, place, rendezvous.patience.count() / 1000));
  }
  const auto key = [](int64_t rank) { return fmt::format("joined/{}", rank); };
  if (store->add(key(rendezvous.rank), 1) > 1)
    throw Error(ErrorCode::invalid_argument, fmt::format("two processes are rank {} (RANK)", rendezvous.rank));
  const auto deadline = std::chrono::steady_clock::now() + rendezvous.patience;
  std::vector<int64_t> missing;
  for (int64_t i = 0; i < rendezvous.size; ++i) {
    while (!store->check({key(i)}) && std::chrono::steady_clock::now() < deadline) std::this_thread::sleep_for(kPoll);
    if (!store->check({key(i)})) missing.push_back(i);
  }
  if (!missing.empty())
    throw Error(ErrorCode::network,
                fmt::format("rank {} of {} did not come to {} within {} s", fmt::join(missing, ", "), rendezvous.size,
                            place, rendezvous.patience.count() / 1000));
  return store;
}

// Where the ranks share a machine they talk over its loopback interface, whatever its name resolves to.
auto device_for(const Rendezvous& rendezvous) {
  using c10d::ProcessGroupGloo;
  if (const char* interface = std::getenv("GLOO_SOCKET_IFNAME"); interface != nullptr && *interface != '\0')
    return ProcessGroupGloo::createDeviceForInterface(interface);
  if (rendezvous.address == "127.0.0.1" || rendezvous.address == "localhost")
    return ProcessGroupGloo::createDeviceForHostname("127.0.0.1");
  return ProcessGroupGloo::createDefaultDevice();
}

class GlooGroup final : public ProcessGroup {
 public:
  explicit GlooGroup(const Rendezvous& rendezvous)
      : ProcessGroup(rendezvous.rank, rendezvous.size), store_(meet(rendezvous)) {
    const auto options = c10d::ProcessGroupGloo::Options::create(kExchange);
    options->devices.push_back(device_for(rendezvous));
    const auto rank = static_cast<int>(rendezvous.rank), size = static_cast<int>(rendezvous.size);
    gloo_ = c10::make_intrusive<c10d::ProcessGroupGloo>(store_, rank, size, options);
    group_ = c10::make_intrusive<c10d::ProcessGroup>(store_, rank, size);
    group_->setBackend(c10::DeviceType::CPU, c10d::ProcessGroup::BackendType::GLOO, gloo_);
    group_->setGroupName(name_);
    c10d::register_process_group(name_, group_);
    pulse_.emplace(store_, rendezvous.rank, rendezvous.size);
  }
  ~GlooGroup() override {
    c10d::unregister_process_group(name_);
    if (left_) return;
    gloo_.release();
    group_.release();
  }

  const std::string& name() const override { return name_; }

  Pending all_reduce(const at::Tensor& tensor) override {
    return start([&](auto& tensors) { return gloo_->allreduce(tensors); }, tensor);
  }
  Pending broadcast(const at::Tensor& tensor, int64_t from) override {
    c10d::BroadcastOptions options;
    options.rootRank = from;
    return start([&](auto& tensors) { return gloo_->broadcast(tensors, options); }, tensor);
  }
  Pending send(const at::Tensor& tensor, int64_t to) override {
    return start([&](auto& tensors) { return gloo_->send(tensors, static_cast<int>(to), 0); }, tensor);
  }
  Pending receive(const at::Tensor& tensor, int64_t from) override {
    return start([&](auto& tensors) { return gloo_->recv(tensors, static_cast<int>(from), 0); }, tensor);
  }

  std::vector<std::string> all_gather(const std::string& text) override {
    const int64_t turn = texts_++;
    const auto key = [&](int64_t rank) { return fmt::format("text/{}/{}", turn, rank); };
    std::vector<std::string> texts;
    attempt([&] { store_->set(key(rank()), bytes_of(text)); });
    barrier();
    attempt([&] {
      for (int64_t i = 0; i < size(); ++i) texts.push_back(text_of(store_->get(key(i))));
    });
    barrier();  // rank 0 may hold the store
    return texts;
  }

  void report_failure(const std::string& reason) noexcept override {
    try {
      pulse_->report(fmt::format("rank {} of {} stopped: {}", rank(), size(), reason));
      std::this_thread::sleep_for(2 * kBeat);  // until the others know; rank 0 may hold the store
    } catch (...) {                            // there is nobody to tell
    }
  }

  void leave() override {
    barrier();
    pulse_.reset();
    barrier();  // nobody uses the store any more
    left_ = true;
  }

 private:
  // What c10d throws is the symptom of another rank's trouble.
  template <typename Call>
  auto attempt(const Call& call) -> decltype(call()) {
    try {
      return call();
    } catch (const std::exception& error) {
      throw Error(ErrorCode::network, pulse_->diagnosis(message_of(error)));
    }
  }

  template <typename Call>
  Pending start(const Call& call, const at::Tensor& tensor) {
    std::vector<at::Tensor> tensors{tensor.detach()};
    auto work = attempt([&] { return call(tensors); });
    return Pending([this, work, tensors] { attempt([&] { work->wait(); }); });
  }

  const std::string name_ = "wkv";
  c10::intrusive_ptr<c10d::Store> store_;
  c10::intrusive_ptr<c10d::ProcessGroupGloo> gloo_;
  c10::intrusive_ptr<c10d::ProcessGroup> group_;
  std::optional<Pulse> pulse_;
  int64_t texts_ = 0;
  bool left_ = false;
};

}  // namespace

std::unique_ptr<ProcessGroup> join_gloo(const Rendezvous& rendezvous) {
  try {
    return std::make_unique<GlooGroup>(rendezvous);
  } catch (const Error&) {
    throw;
  } catch (const std::exception& error) {
    throw Error(ErrorCode::network, fmt::format("rank {} of {} can't reach the others: {}", rendezvous.rank,
                                                rendezvous.size, message_of(error)));
  }
}

}  // namespace wkv::zoo

#else

namespace wkv::zoo {

std::unique_ptr<ProcessGroup> join_gloo(const Rendezvous& rendezvous) {
  throw Error(ErrorCode::unsupported_format,
              fmt::format("WORLD_SIZE is {}, and this wkv was built for one process: build it where Gloo's headers are "
                          "(Debian's libgloo-dev)",
                          rendezvous.size));
}

}  // namespace wkv::zoo
#endif
