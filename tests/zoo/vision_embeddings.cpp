#include <ATen/Functions.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "io_files.h"
#include "support/fixture.h"
#include "vision/partial_embeddings.h"
#include "wkv/error.h"
#include "wkv/zoo/embeddings.h"
#include "wkv/zoo/tensor_source.h"

namespace wkv::zoo {
namespace {

using testing::HasSubstr;

template <typename F>
std::string embedding_error(F f) {
  try {
    f();
    return "no error";
  } catch (const Error& error) {
    return error.what();
  }
}

std::string npy(const std::string& header, const std::string& data) {
  return std::string("\x93NUMPY\x01\x00", 8) + test::little(static_cast<uint16_t>(header.size())) + header + data;
}

TEST(Embeddings, come_back_from_both_kinds_of_files) {
  const test::ScratchFolder folder;
  const Embeddings saved{at::randn({3, 5}), {"a b.jpg", "Grüße.png", ""}};
  for (const char* name : {"x.safetensors", "x.npy"}) {
    const std::string path = (folder / name).string();
    save_embeddings(path, saved);
    const Embeddings loaded = load_embeddings(path);
    EXPECT_TRUE(loaded.vectors.equal(saved.vectors)) << name;
    EXPECT_EQ(loaded.names, saved.names) << name;
  }
}

TEST(Embeddings, as_npy_are_laid_out_as_numpy_does) {
  const test::ScratchFolder folder;
  save_embeddings((folder / "x.npy").string(), {at::ones({2, 3}), {"a", "b"}});
  const std::string bytes = test::read_bytes(folder / "x.npy");
  EXPECT_THAT(bytes, testing::StartsWith(std::string("\x93NUMPY\x01\x00\x76\x00", 10) +
                                         "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }"));
  EXPECT_EQ(bytes.size(), 128 + 24);
  EXPECT_EQ(test::read_bytes(folder / "x.names.txt"), "a\nb\n");
}

TEST(Embeddings, of_numpy_without_names_have_numbers) {
  const test::ScratchFolder folder;
  const auto path = test::write_bytes(
      folder / "x.npy",
      npy("{'descr': '<f8', 'fortran_order': False, 'shape': (2, 1), }\n", test::little(1.5) + test::little(-2.0)));
  const Embeddings loaded = load_embeddings(path.string());
  EXPECT_EQ(loaded.names, (std::vector<std::string>{"0", "1"}));
  EXPECT_TRUE(loaded.vectors.equal(at::tensor({1.5f, -2.f}).view({2, 1})));
}

struct BadNpy {
  const char* header;
  size_t bytes;
  const char* message;
};

TEST(Embeddings, in_damaged_npy_files_are_refused_with_the_files_name) {
  const test::ScratchFolder folder;
  const std::vector<BadNpy> files = {
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3)}", 23, "does not fit the 23 bytes"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904, 4)}", 16, "does not fit"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 3)}", 12, "shape can't be read"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3", 24, "shape can't be read"},
      {"{'descr': '<f4', 'fortran_order': True, 'shape': (2, 3)}", 24, "C order"},
      {"{'descr': '<i4', 'fortran_order': False, 'shape': (2, 3)}", 24, "'<f4', '<f2' or '<f8'"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (6,)}", 24, "expected a floating-point matrix"},
      {"{'descr'", 24, "lacks descr"},
      {"", 24, "lacks descr"},
  };
  for (const BadNpy& file : files) {
    const auto path = test::write_bytes(folder / "x.npy", npy(file.header, std::string(file.bytes, '\0')));
    EXPECT_THAT(embedding_error([&] { load_embeddings(path.string()); }),
                testing::AllOf(testing::StartsWith(path.string()), HasSubstr(file.message)));
  }
}

TEST(Embeddings, in_a_file_cut_anywhere_are_refused) {
  const test::ScratchFolder folder;
  save_embeddings((folder / "whole.npy").string(), {at::ones({2, 3}), {"a", "b"}});
  const std::string whole = test::read_bytes(folder / "whole.npy");
  for (size_t size = 1; size < whole.size(); ++size) {
    const auto path = test::write_bytes(folder / "cut.npy", whole.substr(0, size));
    EXPECT_THROW(load_embeddings(path.string()), Error) << size;
  }
}

TEST(Embeddings, whose_names_do_not_fit_are_refused) {
  const test::ScratchFolder folder;
  const std::string path = (folder / "x.npy").string();
  save_embeddings(path, {at::ones({2, 3}), {"a", "b"}});
  test::write_bytes(folder / "x.names.txt", "a\nb\nc\n");
  EXPECT_THAT(embedding_error([&] { load_embeddings(path); }), HasSubstr("x.names.txt: 3 names for 2 embeddings"));
}

TEST(Embeddings, are_not_read_from_a_checkpoint) {
  const test::ScratchFolder folder;
  write_safetensors(folder / "model.safetensors", {{"weight", at::ones({2, 2})}});
  EXPECT_THAT(embedding_error([&] { load_embeddings((folder / "model.safetensors").string()); }),
              HasSubstr("expected the tensors \"embeddings\" and \"names\""));
}

TEST(Embeddings, that_can_not_be_stored_are_refused) {
  const test::ScratchFolder folder;
  const at::Tensor one = at::ones({1, 2});
  EXPECT_THROW(save_embeddings((folder / "x.txt").string(), {one, {"a"}}), Error);
  EXPECT_THROW(save_embeddings((folder / "x.npy").string(), {one, {"a", "b"}}), Error);
  EXPECT_THROW(save_embeddings((folder / "x.npy").string(), {one, {"a\nb"}}), Error);
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

TEST(PartialEmbeddings, are_there_for_the_next_run) {
  const test::ScratchFolder folder;
  const std::string output = (folder / "x.npy").string();
  const at::Tensor vectors = at::randn({3, 4});
  PartialEmbeddings(output, "model A", 4).append({"a", "b"}, vectors.slice(0, 0, 2));
  {
    PartialEmbeddings next(output, "model A", 4);
    EXPECT_TRUE(next.contains("a") && next.contains("b") && !next.contains("c"));
    next.append({"c"}, vectors.slice(0, 2, 3));
    const Embeddings all = next.of({"c", "missing", "a", "c"});
    EXPECT_EQ(all.names, (std::vector<std::string>{"c", "a", "c"}));
    EXPECT_TRUE(all.vectors.equal(vectors.index({at::tensor({2, 0, 2}, at::kLong)})));
    next.remove();
  }
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

TEST(PartialEmbeddings, cut_anywhere_have_the_records_that_are_whole) {
  const test::ScratchFolder folder;
  const std::string output = (folder / "x").string(), path = output + ".partial";
  size_t head = 0;
  {
    PartialEmbeddings partial(output, "A", 2);
    head = std::filesystem::file_size(path);
    partial.append({"one", "two"}, at::tensor({1.f, 2.f, 3.f, 4.f}).view({2, 2}));
  }
  const std::string whole = test::read_bytes(path);
  const size_t record = (whole.size() - head) / 2;
  for (size_t size = head; size < whole.size(); ++size) {
    test::write_bytes(path, whole.substr(0, size));
    PartialEmbeddings next(output, "A", 2);
    ASSERT_EQ(next.contains("one"), size >= head + record) << size;
    ASSERT_FALSE(next.contains("two")) << size;
    next.append({"two"}, at::tensor({5.f, 6.f}).view({1, 2}));
    ASSERT_TRUE(next.of({"two"}).vectors.equal(at::tensor({5.f, 6.f}).view({1, 2}))) << size;
  }
}

TEST(PartialEmbeddings, of_a_run_that_did_nothing_leave_nothing) {
  const test::ScratchFolder folder;
  { const PartialEmbeddings partial((folder / "x").string(), "A", 2); }
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

TEST(PartialEmbeddings, of_another_origin_are_refused) {
  const test::ScratchFolder folder;
  const std::string output = (folder / "x").string();
  PartialEmbeddings(output, "model A", 2).append({"a"}, at::ones({1, 2}));
  EXPECT_THAT(embedding_error([&] { PartialEmbeddings(output, "model B", 2); }),
              HasSubstr("x.partial: left by a run with another model or other options"));
}

TEST(PartialEmbeddings, have_one_writer) {
  const test::ScratchFolder folder;
  const std::string output = (folder / "x").string();
  const PartialEmbeddings first(output, "A", 2);
  EXPECT_THAT(embedding_error([&] { PartialEmbeddings(output, "A", 2); }), HasSubstr("another run is writing it"));
}

}  // namespace
}  // namespace wkv::zoo
