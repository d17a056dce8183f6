#include <ATen/core/dispatch/Dispatcher.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <exception>
#include <string>
#include <utility>

namespace {

// Why the kernels cannot use the instruction set that WKV_CPU_ISA names; empty where they can.
std::string what_is_missing() {
  try {
    torch::jit::Stack stack;
    c10::Dispatcher::singleton().findSchemaOrThrow("wkv::_cpu_isa", "").callBoxed(stack);
    return "";
  } catch (const std::exception& error) {
    return error.what();
  }
}

// Stands in the report for all the tests that are not run.
class MachineWithout : public testing::Test {
 public:
  explicit MachineWithout(std::string reason) : reason_(std::move(reason)) {}
  void TestBody() override { GTEST_SKIP() << reason_; }

 private:
  std::string reason_;
};

}  // namespace

int main(int argc, char** argv) {
  setenv("WKV_OFFLINE", "1", /*overwrite=*/1);  // what isn't on this machine is missing
  testing::InitGoogleTest(&argc, argv);
  const std::string reason = getenv("WKV_CPU_ISA") ? what_is_missing() : "";
  if (!reason.empty()) {
    testing::RegisterTest("MachineWithout", "the_instruction_set", nullptr, nullptr, __FILE__, __LINE__,
                          [reason]() -> testing::Test* { return new MachineWithout(reason); });
    GTEST_FLAG_SET(filter, "MachineWithout.*");
  }
  return RUN_ALL_TESTS();
}
