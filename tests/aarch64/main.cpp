// Runs the raw-pointer kernels of every op, as another machine compiles them (scripts/test_aarch64), and fails where
// one is wrong.
#include "op_case.h"

int main() {
  using namespace wkv::test;
  for (const wkv::IoType io : kAllTypes) {
    test_wkv4(io);
    test_wkv6(io);
    test_wkv7(io);
    test_bi_wkv(io);
    test_bi_wkv6(io);
    test_based_linear_attention(io);
    test_sliding_window_attention(io);
    test_short_conv(io);
    test_ms_deform_attn(io);
  }
  test_q_shift();
  return all_good() ? 0 : 1;
}
