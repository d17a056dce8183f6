// The ops alone, through the dispatcher, in the shapes of docs/speed.md: forward, forward and backward, and one step.
//   cmake --build build --target bench_ops && build/bin/bench_ops --benchmark_filter=wkv6
// OMP_NUM_THREADS sets the threads.
#include <ATen/ATen.h>
#include <benchmark/benchmark.h>
#include <torch/csrc/autograd/autograd.h>

#include <functional>
#include <string>
#include <vector>

#include "wkv/ops.h"

namespace {

using Tensors = std::vector<at::Tensor>;
namespace ops = wkv::ops;

at::Tensor normal(at::IntArrayRef shape, double scale = 0.5, double mean = 0) {
  return at::randn(shape) * scale + mean;
}

struct Case {
  std::string name;
  std::function<Tensors(int64_t time)> inputs;
  std::function<at::Tensor(const Tensors&)> call;
  int64_t time = 1024, time_with_gradients = 256;
};

Tensors matrix_inputs(int64_t B, int64_t T, bool constant_decay) {
  const std::vector<int64_t> rows{B, T, 12, 64}, parameter{12, 64};
  return {normal(rows), normal(rows), normal(rows), normal(constant_decay ? parameter : rows, 0.5, -2),
          normal(parameter)};
}

const std::vector<Case>& cases() {
  static const std::vector<Case> all = {
      {"wkv4",
       [](int64_t T) {
         return Tensors{normal({768}, 1, -1), normal({768}), normal({8, T, 768}), normal({8, T, 768})};
       },
       [](const Tensors& x) { return std::get<0>(ops::wkv4(x[0], x[1], x[2], x[3])); }},
      {"wkv5", [](int64_t T) { return matrix_inputs(4, T, true); },
       [](const Tensors& x) { return std::get<0>(ops::wkv5(x[0], x[1], x[2], x[3], x[4])); }},
      {"wkv6", [](int64_t T) { return matrix_inputs(4, T, false); },
       [](const Tensors& x) { return std::get<0>(ops::wkv6(x[0], x[1], x[2], x[3], x[4])); }},
      {"wkv7",
       [](int64_t T) {
         const std::vector<int64_t> rows{4, T, 12, 64};
         const at::Tensor x = normal(rows), unit = x / x.norm(2, -1, true);
         return Tensors{normal(rows), normal(rows, 0.5, -2), normal(rows), normal(rows), -unit, unit * 0.5};
       },
       [](const Tensors& x) { return std::get<0>(ops::wkv7(x[0], x[1], x[2], x[3], x[4], x[5])); }},
      {"bi_wkv",
       [](int64_t T) {
         return Tensors{normal({768}, 1e-3, 2e-2), normal({768}), normal({8, T, 768}), normal({8, T, 768})};
       },
       [](const Tensors& x) { return ops::bi_wkv(x[0], x[1], x[2], x[3]); }, 196, 196},
      {"bi_wkv6", [](int64_t T) { return matrix_inputs(8, T, false); },
       [](const Tensors& x) { return ops::bi_wkv6(x[0], x[1], x[2], x[3], x[4]); }, 196, 196},
      {"q_shift",
       [](int64_t T) {
         return Tensors{normal({8, T, 768})};
       },
       [](const Tensors& x) { return ops::q_shift(x[0], 14, 14); }, 196, 196},
      {"based_linear_attention",
       [](int64_t T) {
         return Tensors{normal({4, T, 16, 16}), normal({4, T, 16, 16}), normal({4, T, 16, 64})};
       },
       [](const Tensors& x) { return std::get<0>(ops::based_linear_attention(x[0], x[1], x[2])); }, 1024, 1024},
      {"sliding_window_attention",
       [](int64_t T) {
         return Tensors{normal({4, T, 16, 64}), normal({4, T, 16, 64}), normal({4, T, 16, 64})};
       },
       [](const Tensors& x) { return std::get<0>(ops::sliding_window_attention(x[0], x[1], x[2], 64)); }},
      {"short_conv",
       [](int64_t T) {
         return Tensors{normal({4, T, 1024}), normal({1024, 1, 3})};
       },
       [](const Tensors& x) { return std::get<0>(ops::short_conv(x[0], x[1])); }},
  };
  return all;
}

void forward(benchmark::State& state, const Case& op, int64_t time) {
  const Tensors inputs = op.inputs(time);
  for (auto _ : state) benchmark::DoNotOptimize(op.call(inputs));
}

void forward_and_backward(benchmark::State& state, const Case& op) {
  Tensors inputs = op.inputs(op.time_with_gradients);
  for (at::Tensor& x : inputs) x.requires_grad_();
  const at::Tensor weights = at::randn_like(op.call(inputs));
  for (auto _ : state) benchmark::DoNotOptimize(torch::autograd::grad({op.call(inputs)}, inputs, {weights}));
}

void wkv7_decode(benchmark::State& state) {
  const std::vector<int64_t> rows{1, 12, 64};
  const at::Tensor x = normal(rows), unit = x / x.norm(2, -1, true), slots = at::zeros({1}, at::kLong);
  at::Tensor pool = normal({4, 12, 64, 64});
  for (auto _ : state) {
    benchmark::DoNotOptimize(ops::wkv7_decode_(x, x - 2, x, x, -unit, unit * 0.5, pool, slots));
  }
}

}  // namespace

int main(int argc, char** argv) {
  for (const Case& op : cases()) {
    const auto add = [](const std::string& name, auto run) {
      benchmark::RegisterBenchmark(name.c_str(), run)->Unit(benchmark::kMillisecond)->MeasureProcessCPUTime();
    };
    add(op.name + "/forward", [&op](benchmark::State& state) { forward(state, op, op.time); });
    add(op.name + "/forward_and_backward", [&op](benchmark::State& state) { forward_and_backward(state, op); });
    if (op.name.starts_with("wkv")) {
      add(op.name + "/one_token", [&op](benchmark::State& state) { forward(state, op, 1); });
    }
  }
  benchmark::RegisterBenchmark("wkv7_decode_", wkv7_decode)->Unit(benchmark::kMicrosecond);
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
