#include <ATen/Functions.h>

#include "io/pth_writer.h"
#include "io/zip_reader.h"
#include "io_files.h"
#include "support/fixture.h"
#include "wkv/zoo/tensor_source.h"

namespace wkv::test {
namespace {

using PthTensors = std::vector<std::pair<std::string, at::Tensor>>;

PthTensors tensors_of_every_kind() {
  PthTensors tensors;
  for (const auto dtype : {at::kDouble, at::kFloat, at::kHalf, at::kBFloat16, at::kLong, at::kInt, at::kShort,
                           at::kChar, at::kByte, at::kBool})
    tensors.emplace_back(c10::toString(dtype), at::arange(6).reshape({2, 3}).remainder(2).to(dtype));
  const at::Tensor base = at::arange(12.0).reshape({3, 4});
  tensors.insert(tensors.end(), {{"transposed", base.t()},
                                 {"slice", base.slice(1, 0, 4, 2)},
                                 {"expanded", at::ones({1}).expand({5})},
                                 {"scalar", at::scalar_tensor(2.5)},
                                 {"empty", at::empty({0, 3})},
                                 {"ünï.cödé", at::full({1, 1, 4}, NAN)}});
  return tensors;
}

zoo::TensorSource pth_of(const std::filesystem::path& path, const PthTensors& tensors,
                         uint64_t zip64_from = zoo::ZipWriter::kZip64From) {
  std::vector<zoo::LazyTensor> lazies;
  for (const auto& [name, tensor] : tensors) lazies.push_back(zoo::lazy(name, tensor));
  zoo::write_pth(path, std::move(lazies), zip64_from);
  return zoo::open_tensors(path);
}

void expect_same_tensors(const zoo::TensorSource& source, const PthTensors& expected) {
  ASSERT_EQ(source.entries.size(), expected.size());
  for (size_t i = 0; i < expected.size(); ++i) {
    const auto& [name, tensor] = expected[i];
    EXPECT_EQ(source.entries[i].name, name);
    const at::Tensor found = zoo::as_tensor(source.entries[i]);
    EXPECT_EQ(found.scalar_type(), tensor.scalar_type()) << name;
    EXPECT_EQ(found.sizes(), tensor.sizes()) << name;
    EXPECT_TRUE(at::allclose(found, tensor, 0, 0, /*equal_nan=*/true)) << name;
  }
}

}  // namespace

TEST(PthWriter, every_dtype_and_layout_comes_back_in_the_same_order) {
  const ScratchFolder folder;
  expect_same_tensors(pth_of(folder / "a.pth", tensors_of_every_kind()), tensors_of_every_kind());
}

TEST(PthWriter, data_begin_at_multiples_of_64) {
  const ScratchFolder folder;
  pth_of(folder / "a.pth", tensors_of_every_kind());
  std::string bytes = read_bytes(folder / "a.pth");
  const zoo::ZipReader zip(std::as_writable_bytes(std::span(bytes)), "a.pth");
  for (const zoo::ZipEntry& entry : zip.entries())
    EXPECT_EQ((reinterpret_cast<const char*>(entry.data.data()) - bytes.data()) % 64, 0) << entry.name;
}

TEST(PthWriter, the_same_tensors_make_the_same_bytes) {
  const ScratchFolder folder;
  for (const char* name : {"a.pth", "b.pth"}) pth_of(folder / name, tensors_of_every_kind());
  EXPECT_EQ(read_bytes(folder / "a.pth"), read_bytes(folder / "b.pth"));
}

TEST(PthWriter, sizes_and_offsets_beyond_32_bits_come_back) {
  const ScratchFolder folder;
  const std::string zip64_locator = "PK\x06\x07";
  for (const uint64_t limit : {1, 12, 24, 1000, 3000}) {  // all, some sizes, all offsets but the first ones
    expect_same_tensors(pth_of(folder / "a.pth", tensors_of_every_kind(), limit), tensors_of_every_kind());
    EXPECT_NE(read_bytes(folder / "a.pth").find(zip64_locator), std::string::npos) << limit;
  }
  pth_of(folder / "a.pth", tensors_of_every_kind());
  EXPECT_EQ(read_bytes(folder / "a.pth").find(zip64_locator), std::string::npos);
}

TEST(PthWriter, a_tensor_is_made_when_the_one_before_is_gone) {
  const ScratchFolder folder;
  int alive = 0, made = 0;
  std::vector<zoo::LazyTensor> tensors;
  for (int i = 0; i < 5; ++i) {
    tensors.push_back({"w" + std::to_string(i), at::kFloat, {10}, [&] {
                         EXPECT_EQ(alive++, 0);
                         ++made;
                         return at::from_blob(
                             new float[10]{}, {10}, [&](void* data) { --alive, delete[] static_cast<float*>(data); },
                             at::kFloat);
                       }});
  }
  zoo::write_pth(folder / "a.pth", std::move(tensors));
  EXPECT_EQ(made, 5);
}

TEST(PthWriter, what_the_format_cannot_hold_is_refused_and_nothing_is_written) {
  const ScratchFolder folder;
  const at::Tensor one = at::ones({1});
  const auto write = [&](const PthTensors& tensors) { return [&, tensors] { pth_of(folder / "a.pth", tensors); }; };
  expect_error(ErrorCode::invalid_argument, "twice", write({{"w", one}, {"w", one}}));
  expect_error(ErrorCode::invalid_argument, "name", write({{"", one}}));
  expect_error(ErrorCode::unsupported_format, "ComplexFloat", write({{"w", one.to(at::kComplexFloat)}}));
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

TEST(ZipWriter, more_than_65535_entries_come_back) {
  const ScratchFolder folder;
  constexpr size_t kCount = 65537;
  zoo::AtomicFile file(folder / "a.zip");
  zoo::ZipWriter writer(file);
  for (size_t i = 0; i < kCount; ++i) writer.add(std::to_string(i), {});
  writer.finish();
  file.commit();
  std::string bytes = read_bytes(folder / "a.zip");
  EXPECT_EQ(zoo::ZipReader(std::as_writable_bytes(std::span(bytes)), "a.zip").entries().size(), kCount);
}

}  // namespace wkv::test
