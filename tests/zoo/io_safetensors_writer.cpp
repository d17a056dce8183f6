#include <ATen/Functions.h>

#include "io_files.h"
#include "support/data.h"
#include "support/fixture.h"

namespace wkv::test {
namespace {

using NamedTensors = std::vector<std::pair<std::string, at::Tensor>>;

zoo::TensorSource written(const std::filesystem::path& path, const NamedTensors& tensors,
                          const std::map<std::string, std::string>& metadata = {}) {
  zoo::write_safetensors(path, tensors, metadata);
  return zoo::open_tensors(path);
}

}  // namespace

TEST(SafetensorsWriter, every_dtype_comes_back) {
  const ScratchFolder folder;
  for (const auto dtype : {at::kDouble, at::kFloat, at::kHalf, at::kBFloat16, at::kLong, at::kInt, at::kShort,
                           at::kChar, at::kByte, at::kBool}) {
    const at::Tensor tensor = at::arange(6).reshape({2, 3}).remainder(2).to(dtype);
    const at::Tensor back = zoo::as_tensor(written(folder / "a", {{"w", tensor}}).entries.at(0));
    EXPECT_EQ(back.scalar_type(), dtype);
    EXPECT_TRUE(at::equal(back, tensor)) << dtype;
  }
}

TEST(SafetensorsWriter, a_tensor_of_any_layout_is_written_row_by_row) {
  const ScratchFolder folder;
  const at::Tensor base = at::arange(12.0).reshape({3, 4});
  const NamedTensors tensors = {{"t", base.t()},
                                {"slice", base.slice(1, 0, 4, 2)},
                                {"expanded", at::ones({1}).expand({5})},
                                {"negative", at::_neg_view(base)},
                                {"scalar", at::scalar_tensor(2.5)},
                                {"empty", at::empty({0, 3})}};
  const auto source = written(folder / "a", tensors);
  for (const auto& [name, tensor] : tensors) EXPECT_TRUE(at::equal(zoo::as_tensor(*source.find(name)), tensor)) << name;
}

TEST(SafetensorsWriter, data_is_sorted_by_alignment_then_name_and_begins_at_a_multiple_of_8) {
  const ScratchFolder folder;
  const NamedTensors tensors = {{"c", at::zeros({1}, at::kByte)},
                                {"b", at::zeros({1})},
                                {"a", at::zeros({1})},
                                {"d", at::zeros({1}, at::kDouble)}};
  const auto source = written(folder / "a", tensors);
  std::string order;
  for (const auto& entry : source.entries) order += entry.name;
  EXPECT_EQ(order, "dabc");
  uint64_t header = 0;
  std::memcpy(&header, read_bytes(folder / "a").data(), sizeof header);
  EXPECT_EQ(header % 8, 0);
}

TEST(SafetensorsWriter, metadata_come_back) {
  const ScratchFolder folder;
  const std::map<std::string, std::string> metadata = {{"format", "pt"}, {"recipe", "{\"lr\": 1}"}};
  EXPECT_EQ(written(folder / "a", {}, metadata).metadata, metadata);
}

TEST(SafetensorsWriter, a_file_of_the_reference_package_comes_back_with_the_same_values) {
  const ScratchFolder folder;
  const auto original = zoo::open_tensors(data("containers/tensors.safetensors"));
  NamedTensors tensors;
  for (const auto& entry : original.entries) tensors.emplace_back(entry.name, zoo::as_tensor(entry));
  const auto source = written(folder / "a", tensors);
  ASSERT_EQ(source.entries.size(), tensors.size());
  for (const auto& [name, tensor] : tensors) EXPECT_TRUE(at::equal(zoo::as_tensor(*source.find(name)), tensor)) << name;
}

TEST(SafetensorsWriter, a_file_may_be_written_over_the_one_that_its_tensors_live_in) {
  const ScratchFolder folder;
  zoo::write_safetensors(folder / "a", {{"w", at::ones({1000})}});
  const at::Tensor tensor = zoo::as_tensor(zoo::open_tensors(folder / "a").entries[0]);
  const auto source = written(folder / "a", {{"w", tensor + 1}, {"old", tensor}});
  EXPECT_TRUE(at::equal(zoo::as_tensor(*source.find("w")), at::full({1000}, 2.0)));
  EXPECT_TRUE(at::equal(zoo::as_tensor(*source.find("old")), at::ones({1000})));
}

TEST(SafetensorsWriter, what_the_format_cannot_hold_is_refused_and_nothing_is_written) {
  struct Case {
    NamedTensors tensors;
    ErrorCode code;
    const char* message;
  };
  const at::Tensor one = at::ones({1});
  const Case cases[] = {
      {{{"w", one}, {"w", one}}, ErrorCode::invalid_argument, "twice"},
      {{{"", one}}, ErrorCode::invalid_argument, "name"},
      {{{"__metadata__", one}}, ErrorCode::invalid_argument, "name"},
      {{{"w", at::Tensor()}}, ErrorCode::invalid_argument, "undefined"},
      {{{"w", one.to(at::kMeta)}}, ErrorCode::invalid_argument, "no data"},
      {{{"w", one.to_sparse()}}, ErrorCode::unsupported_format, "sparse"},
      {{{"w", one.to(at::kComplexFloat)}}, ErrorCode::unsupported_format, "ComplexFloat"},
      {{{"\xff", one}}, ErrorCode::invalid_argument, "UTF-8"},
  };
  const ScratchFolder folder;
  for (const Case& c : cases) {
    expect_error(c.code, c.message, [&] { zoo::write_safetensors(folder / "a", c.tensors); });
    EXPECT_TRUE(std::filesystem::is_empty(folder.path())) << c.message;
  }
}

}  // namespace wkv::test
