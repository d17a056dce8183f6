#include <ATen/Functions.h>

#include "io_files.h"
#include "support/data.h"
#include "support/fixture.h"

namespace wkv::test {
namespace {

using namespace std::string_literals;

std::string pickled_text(const std::string& text) { return "X" + little(static_cast<uint32_t>(text.size())) + text; }
std::string pickled_integer(int64_t value) { return "\x8a\x08" + little(value); }
std::string pickled_tuple(const std::vector<int64_t>& values) {
  std::string bytes = "(";
  for (const int64_t value : values) bytes += pickled_integer(value);
  return bytes + "t";
}

// A dict of one tensor, whose storage holds four floats.
struct PickledTensor {
  std::string type = "FloatStorage";
  std::string key = "0";
  int64_t count = 4, offset = 0;
  std::vector<int64_t> shape = {2, 2}, strides = {2, 1};
  std::string function = "torch._utils\n_rebuild_tensor_v2";
  std::string name = "w";

  std::string bytes() const {
    return "\x80\x02}" + pickled_text(name) + "c" + function + "\n((" + pickled_text("storage") + "ctorch\n" + type +
           "\n" + pickled_text(key) + pickled_text("cuda:0") + pickled_integer(count) + "tQ" + pickled_integer(offset) +
           pickled_tuple(shape) + pickled_tuple(strides) + "\x89}tRs.";
  }
};

zoo::TensorSource open_pth(const ScratchFolder& folder, const std::string& pickle, std::vector<ZipPart> more = {}) {
  more.push_back({"any/data.pkl", pickle});
  more.push_back({"any/data/0", std::string(16, '\1')});
  return zoo::open_tensors(write_bytes(folder / "a.pth", zip_file(more)));
}

}  // namespace

TEST(PthReader, every_container_holds_the_tensors_of_the_reference_file) {
  const Fixture expected(data("containers/tensors.safetensors"));
  for (const char* name :
       {"dict", "ordered", "protocol5", "legacy", "legacy-protocol4", "state_dict", "nested", "without-checksums"}) {
    const auto source = zoo::open_tensors(test::data("containers/"s + name + ".pth"));
    EXPECT_EQ(source.entries.size(), 14) << name;
    for (const auto& entry : source.entries) {
      const at::Tensor tensor = zoo::as_tensor(entry);
      EXPECT_EQ(tensor.scalar_type(), expected[entry.name].scalar_type()) << name << " " << entry.name;
      EXPECT_TRUE(at::equal(tensor, expected[entry.name])) << name << " " << entry.name;
    }
  }
}

TEST(PthReader, views_of_one_storage_stay_views) {
  const auto source = zoo::open_tensors(data("containers/ordered.pth"));
  const zoo::TensorEntry* base = source.find("emb.weight");
  EXPECT_EQ(source.find("emb.transposed")->data, base->data);
  EXPECT_EQ(source.find("emb.transposed")->strides, (std::vector<int64_t>{1, 6}));
  EXPECT_EQ(source.find("emb.rows")->data, base->data + 6 * sizeof(float));
}

TEST(PthReader, a_hand_made_tensor_is_read_wherever_its_device_was) {
  const ScratchFolder folder;
  EXPECT_EQ(open_pth(folder, PickledTensor{}.bytes()).find("w")->shape, (std::vector<int64_t>{2, 2}));
}

TEST(PthReader, tensors_outside_of_their_storage_are_refused) {
  struct Case {
    PickledTensor tensor;
    const char* message;
  };
  const Case cases[] = {
      {{.offset = 1}, "past the end"},
      {{.offset = -1}, "past the end"},
      {{.offset = INT64_MAX}, "past the end"},
      {{.shape = {3, 2}}, "past the end"},
      {{.strides = {3, 1}}, "past the end"},
      {{.shape = {2}}, "impossible"},
      {{.strides = {-2, 1}}, "impossible"},
      {{.shape = {-2, 2}}, "impossible"},
      {{.strides = {INT64_MAX, INT64_MAX}}, "impossible"},
      {{.shape = {INT64_MAX, INT64_MAX}, .strides = {0, 0}}, "impossible"},
      {{.count = 5}, "16 bytes, expected 5"},
      {{.count = 3}, "past the end"},
      {{.count = -1}, "not described as torch does"},
      {{.count = INT64_MAX, .shape = {1}, .strides = {1}}, "16 bytes"},
      {{.key = "1"}, "no entry any/data/1"},
      {{.key = "../data.pkl"}, "no entry"},
  };
  const ScratchFolder folder;
  for (const Case& c : cases)
    expect_error(ErrorCode::corrupt_file, c.message, [&] { open_pth(folder, c.tensor.bytes()); });
}

TEST(PthReader, what_is_no_plain_tensor_is_named) {
  struct Case {
    PickledTensor tensor;
    const char* message;
  };
  const Case cases[] = {
      {{.type = "QInt8Storage"}, "torch.QInt8Storage"},
      {{.function = "torch._utils\n_rebuild_qtensor"}, "_rebuild_qtensor"},
      {{.shape = {9}, .strides = {0}}, "expanded"},
      {{.shape = std::vector<int64_t>(9, 1), .strides = std::vector<int64_t>(9, 1)}, "8 dimensions"},
  };
  const ScratchFolder folder;
  for (const Case& c : cases)
    expect_error(ErrorCode::unsupported_format, c.message, [&] { open_pth(folder, c.tensor.bytes()); });
}

TEST(PthReader, files_without_a_dict_of_tensors_are_refused_by_what_they_are) {
  struct Case {
    const char* file;
    const char* message;
  };
  for (const Case& c : {Case{"module.pth", "an object of torch.nn.modules.linear.Linear"},
                        {"list.pth", "holds a list"},
                        {"uint16.pth", "uint16"},
                        {"complex.pth", "ComplexFloatStorage"},
                        {"sparse.pth", "_rebuild_sparse_tensor"},
                        {"expanded.pth", "expanded"},
                        {"torchscript.pt", "TorchScript archive"}})
    expect_error(ErrorCode::unsupported_format, c.message,
                 [&] { zoo::open_tensors(test::data("containers/refused-"s + c.file)); });
}

TEST(PthReader, other_zip_archives_are_named) {
  const ScratchFolder folder;
  const auto open = [&](const std::vector<ZipPart>& parts) {
    return [&, parts] { zoo::open_tensors(write_bytes(folder / "a", zip_file(parts))); };
  };
  expect_error(ErrorCode::unsupported_format, "numpy", open({{"weight.npy", "x"}}));
  expect_error(ErrorCode::unsupported_format, "torch.export", open({{"m/archive_format", "pt2"}}));
  expect_error(ErrorCode::unsupported_format, "without one data.pkl", open({{"readme", "x"}}));
  expect_error(ErrorCode::unsupported_format, "without one data.pkl",
               open({{"a/data.pkl", "N."}, {"b/data.pkl", "N."}}));
}

TEST(PthReader, a_big_endian_file_is_refused) {
  const ScratchFolder folder;
  const auto open = [&](const char* order) {
    return [&, order] { open_pth(folder, PickledTensor{}.bytes(), {{"any/byteorder", order}}); };
  };
  EXPECT_NO_THROW(open("little")());
  expect_error(ErrorCode::unsupported_format, "big-endian", open("big"));
  expect_error(ErrorCode::corrupt_file, "byte order \"odd\"", open("odd"));
}

TEST(PthReader, a_name_twice_is_refused) {
  const ScratchFolder folder;
  const std::string one = PickledTensor{}.bytes().substr(3);  // without the protocol and the dict
  const std::string member = one.substr(0, one.size() - 1);
  expect_error(ErrorCode::corrupt_file, "there twice", [&] { open_pth(folder, "\x80\x02}" + member + member + "."); });
}

// A model copies what each of its tensors holds.
TEST(PthReader, one_storage_under_a_hundred_names_is_refused) {
  const ScratchFolder folder;
  constexpr int64_t kCount = 1 << 18;
  std::string pickle = "\x80\x02}";
  for (int i = 0; i < 100; ++i) {
    const std::string one =
        PickledTensor{.key = "1", .count = kCount, .shape = {kCount}, .strides = {1}, .name = "w" + std::to_string(i)}
            .bytes();
    pickle += one.substr(3, one.size() - 4);  // without the protocol, the dict and the end
  }
  const std::string storage(kCount * sizeof(float), '\0');
  expect_error(ErrorCode::unsupported_format, "its tensors hold 104857600 bytes", [&] {
    open_pth(folder, pickle + ".", {{"any/data/1", storage}});
  });
}

TEST(PthReader, a_dict_that_wraps_itself_is_refused) {
  const ScratchFolder folder;
  expect_error(ErrorCode::unsupported_format, "holds a dict with the keys model",
               [&] { open_pth(folder, "}q\0"s + pickled_text("model") + "h\0s."s); });
}

// os.system("touch <sentinel>") in every form that Python would run, as the root, beside a tensor, and as a tensor.
TEST(PthReader, a_payload_is_never_executed) {
  const ScratchFolder folder;
  const auto sentinel = folder / "sentinel";
  const std::string argument = pickled_text("touch " + sentinel.string()) + "\x85";
  const std::string tensor = PickledTensor{}.bytes();
  for (const std::string& call : {"cposix\nsystem\n" + argument + "R", "cos\nsystem\n" + argument + "R",
                                  "\x8c\2os\x8c\6system\x93" + argument + "R", "cos\nsystem\n" + argument + "\x81",
                                  "cbuiltins\neval\n" + argument + "R", "cos\nsystem\n)\x81" + argument + "b"}) {
    EXPECT_THROW(open_pth(folder, "\x80\x02" + call + "."), Error);
    EXPECT_THROW(open_pth(folder, "\x80\x02}" + pickled_text("w") + call + "s."), Error);
    const auto source = open_pth(folder, tensor.substr(0, tensor.size() - 1) + pickled_text("x") + call + "s.");
    EXPECT_EQ(source.entries.size(), 1);
  }
  EXPECT_FALSE(std::filesystem::exists(sentinel));
}

}  // namespace wkv::test
