#include <ATen/Functions.h>

#include "io_files.h"
#include "support/fixture.h"

namespace wkv::test {
namespace {

zoo::TensorEntry float_entry(const std::shared_ptr<std::vector<float>>& values, size_t byte_offset = 0) {
  return {"w",   c10::ScalarType::Float, {2, 2}, {1, 2}, reinterpret_cast<std::byte*>(values->data()) + byte_offset,
          values};
}

}  // namespace

TEST(AsTensor, shares_the_memory_of_the_entry_and_keeps_it_alive) {
  auto values = std::make_shared<std::vector<float>>(std::vector<float>{1, 2, 3, 4});
  const at::Tensor tensor = zoo::as_tensor(float_entry(values));
  const std::weak_ptr<void> memory = values;
  EXPECT_EQ(tensor.const_data_ptr(), values->data());
  values.reset();
  EXPECT_FALSE(memory.expired());
  EXPECT_TRUE(at::equal(tensor, at::tensor({1.f, 3.f, 2.f, 4.f}).reshape({2, 2})));  // strided
}

TEST(AsTensor, data_that_is_not_aligned_is_copied) {
  const auto values = std::make_shared<std::vector<float>>(5);
  const float numbers[] = {1, 2, 3, 4};
  const zoo::TensorEntry entry = float_entry(values, 2);
  std::memcpy(entry.data, numbers, sizeof numbers);
  const at::Tensor tensor = zoo::as_tensor(entry);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(tensor.const_data_ptr()) % sizeof(float), 0);
  EXPECT_TRUE(at::equal(tensor, at::tensor({1.f, 3.f, 2.f, 4.f}).reshape({2, 2})));
}

TEST(AsTensor, an_optimizer_may_step_it_and_the_file_stays) {
  const ScratchFolder folder;
  zoo::write_safetensors(folder / "a", {{"w", at::ones({3})}});
  at::Tensor tensor = zoo::as_tensor(zoo::open_tensors(folder / "a").entries[0]);
  tensor.add_(1);
  EXPECT_TRUE(at::equal(tensor, at::full({3}, 2.0)));
  EXPECT_TRUE(at::equal(zoo::as_tensor(zoo::open_tensors(folder / "a").entries[0]), at::ones({3})));
}

TEST(AsTensor, a_layout_that_overflows_is_refused) {
  const zoo::TensorEntry entry{"w", c10::ScalarType::Float, {3, 3}, {INT64_MAX, 1}, nullptr, nullptr};
  expect_error(ErrorCode::invalid_argument, "no valid layout", [&] { zoo::as_tensor(entry); });
}

}  // namespace wkv::test
