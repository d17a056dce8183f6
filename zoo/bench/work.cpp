#include "bench/work.h"

#include <ATen/Functions.h>
#include <ATen/core/grad_mode.h>
#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <ctime>

#include "wkv/error.h"

namespace wkv::zoo {
namespace {

double cpu_seconds() {
  timespec now{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

template <typename Work>
WorkTime time_of(const Work& work) {
  using Clock = std::chrono::steady_clock;
  const double cpu = cpu_seconds();
  const auto start = Clock::now();
  work();
  return {std::chrono::duration<double>(Clock::now() - start).count(), cpu_seconds() - cpu};
}

void require_memory_for_states(const models::LanguageModel& model, int64_t batch) {
  double bytes = 0;
  for (const auto& entry : model.initial_state(1).entries) bytes += static_cast<double>(entry.tensor.nbytes());
  bytes *= static_cast<double>(batch);
  const double memory = static_cast<double>(sysconf(_SC_PHYS_PAGES)) * static_cast<double>(sysconf(_SC_PAGESIZE));
  if (bytes <= memory / 2) return;
  throw Error(ErrorCode::invalid_argument,
              fmt::format("batch: the states of {} sequences take {:.1f} GiB, and the machine has {:.1f} GiB in all",
                          batch, bytes / (1 << 30), memory / (1 << 30)));
}

// A sequence is warm after its first two tokens.
constexpr int64_t kWarmTokens = 2;

WorkTime time_decode_alone(models::LanguageModel& model, const at::Tensor& tokens) {
  models::State state = model.read(tokens.slice(0, 0, kWarmTokens).unsqueeze(0)).second;
  return time_of([&] {
    for (const at::Tensor& token : tokens.split(1)) {
      auto [hidden, next] = model.read(token.unsqueeze(0), state);
      state = std::move(next);
      model.logits(hidden);
    }
  });
}

WorkTime time_decode_in_pool(models::LanguageModel& model, const at::Tensor& tokens, int64_t batch) {
  require_memory_for_states(model, batch);
  models::State pool = model.initial_state(batch);
  const at::Tensor slots = at::arange(batch, at::kLong);
  const auto step = [&](const at::Tensor& token) { return model.decode(token.expand({batch}).clone(), pool, slots); };
  for (const at::Tensor& token : tokens.slice(0, 0, kWarmTokens).split(1)) step(token);
  return time_of([&] {
    for (const at::Tensor& token : tokens.split(1)) model.logits(step(token));
  });
}

}  // namespace

at::Tensor bench_tokens(int64_t count, int64_t vocab) {
  return at::arange(count, at::kLong).mul_(7919).remainder_(vocab);
}

WorkTime time_decode(models::LanguageModel& model, int64_t tokens, int64_t batch) {
  const at::NoGradGuard no_grad;
  const at::Tensor sequence = bench_tokens(tokens, model.vocab_size());
  return batch == 1 ? time_decode_alone(model, sequence) : time_decode_in_pool(model, sequence, batch);
}

WorkTime time_prompt(models::LanguageModel& model, int64_t tokens, int64_t batch) {
  const at::NoGradGuard no_grad;
  require_memory_for_states(model, batch);
  const at::Tensor prompts = bench_tokens(tokens, model.vocab_size()).expand({batch, tokens}).contiguous();
  return time_of([&] { model.logits(model.read(prompts).first); });
}

at::Tensor bench_logits(models::LanguageModel& model, int64_t tokens) {
  const at::NoGradGuard no_grad;
  const at::Tensor prompt = bench_tokens(tokens, model.vocab_size()).unsqueeze(0);
  return model.logits(model.read(prompt).first).flatten();
}

}  // namespace wkv::zoo
