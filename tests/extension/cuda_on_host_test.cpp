// In the program that is linked with the CUDA kernels for the CPU (tests/cuda_on_host), every op runs those.
#include <dlfcn.h>
#include <gtest/gtest.h>

#include "extension/op_cases.h"

namespace wkv::test {
namespace {

using Count = int64_t (*)();

Count launches() {
  static const auto count = reinterpret_cast<Count>(dlsym(RTLD_DEFAULT, "cuda_on_host_launches"));
  return count;
}
int64_t launches_of(const std::function<void()>& call) {
  const int64_t before = launches()();
  call();
  return launches()() - before;
}

class OpOnCudaOnHost : public testing::TestWithParam<OpCase> {};

TEST_P(OpOnCudaOnHost, is_computed_by_cuda_kernels_forward_and_backward) {
  const OpCase& op = GetParam();
  const OpInputs inputs = make_inputs(op, {}, at::kFloat, 1, true);
  Tensors outputs;
  EXPECT_GT(launches_of([&] { outputs = op.call(inputs.arguments, inputs.states, {}); }), 0);
  EXPECT_GT(launches_of([&] { gradients(outputs, inputs.all()); }), 0);
}

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(OpOnCudaOnHost);  // in the other program there are none
INSTANTIATE_TEST_SUITE_P(Op, OpOnCudaOnHost, testing::ValuesIn(launches() ? op_cases() : std::vector<OpCase>()),
                         [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace wkv::test
