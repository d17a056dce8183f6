// One step of RWKV-7's state update on random tensors: batch 1, time 1, heads 2, head size 8.
#include <ATen/ops/randn.h>
#include <wkv/ops.h>

#include <cstdio>

int main() {
  auto tensor = [] { return at::randn({1, 1, 2, 8}); };
  auto [y, state] = wkv::ops::wkv7(tensor(), tensor(), tensor(), tensor(), tensor(), tensor());
  std::printf("y has %lld entries, the state has %lld\n", static_cast<long long>(y.numel()),
              static_cast<long long>(state.numel()));
}
