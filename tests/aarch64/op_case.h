// What the tests of an op's kernels share: the comparison of outputs and gradients with a slow reference in
// double. No PyTorch here: there is none for the machine that is emulated.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "array.h"

namespace wkv::test {

// An op at some sizes, with inputs to differentiate by.
struct OpCase {
  struct Input {
    const char* name;
    IoType type;
    Doubles values;
  };
  struct Output {
    const char* name;
    IoType type;
  };
  std::string name;  // of the op and of what is special here
  IoType io;
  std::vector<Input> inputs;
  std::vector<Output> outputs;
  std::function<std::vector<Doubles>(const std::vector<Doubles>& inputs)> reference;  // the outputs
  // The kernels'. A forward may leave out the last outputs, those that are no kernel's work.
  std::function<Arrays(const Arrays& inputs)> forward;
  // An empty gradient is not compared. Null: there is no backward.
  std::function<Arrays(const Arrays& inputs, const Arrays& grad_outputs)> backward;
};

// Compares the outputs with the reference's, and the gradients of sum(outputs * random numbers) with central
// differences of the reference's; prints a line for each that is wrong.
void check(const OpCase& op);

// The error of `found` may be this part of the largest expected number.
void expect_close(const std::string& what, const Doubles& found, const Doubles& expected, double tolerance);

// Says how many comparisons there were; whether all of them were good.
bool all_good();

template <class Table>
const auto& kernels_for(const Table& table, IoType io) {
  return table.of[static_cast<int>(io)];
}

// The tests of each op, in a file of its name.
void test_based_linear_attention(IoType io);
void test_bi_wkv(IoType io);
void test_bi_wkv6(IoType io);
void test_ms_deform_attn(IoType io);
void test_q_shift();
void test_short_conv(IoType io);
void test_sliding_window_attention(IoType io);
void test_wkv4(IoType io);
void test_wkv6(IoType io);
void test_wkv7(IoType io);

}  // namespace wkv::test
