#include <ATen/Functions.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "support/fixture.h"
#include "wkv/error.h"
#include "wkv/zoo/state_file.h"
#include "wkv/zoo/tensor_source.h"

namespace wkv::zoo {
namespace {

class StateFile : public testing::Test {
 protected:
  std::filesystem::path path() const { return folder_ / "state.safetensors"; }

  void expect_refused(ErrorCode code, const std::string& message) {
    try {
      load_state(path());
      FAIL() << "was accepted";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), code);
      EXPECT_THAT(error.what(), testing::HasSubstr(message));
      EXPECT_THAT(error.what(), testing::HasSubstr(path().string()));
    }
  }

  static models::State example() {
    return {{{"wkv0", at::arange(24, at::kFloat).reshape({2, 3, 4})},
             {"att_x0", at::arange(6, at::kFloat).reshape({2, 3}).to(at::kBFloat16)},
             {"a", at::ones({2, 1}, at::kDouble)},
             {"pos", at::arange(2)},
             {"past_tokens", at::arange(4).view({2, 2})}}};
  }

 private:
  test::ScratchFolder folder_;
};

TEST_F(StateFile, comes_back_as_it_was_saved) {
  const models::State saved = example();
  save_state(path(), saved);
  const models::State loaded = load_state(path());
  ASSERT_EQ(loaded.entries.size(), saved.entries.size());
  for (size_t i = 0; i < saved.entries.size(); ++i) {
    EXPECT_EQ(loaded.entries[i].name, saved.entries[i].name);
    EXPECT_EQ(loaded.entries[i].tensor.scalar_type(), saved.entries[i].tensor.scalar_type());
    EXPECT_TRUE(loaded.entries[i].tensor.equal(saved.entries[i].tensor));
  }
}

TEST_F(StateFile, a_state_with_a_gradient_is_saved_by_value) {
  save_state(path(), {{{"x", at::ones({1, 2}).set_requires_grad(true)}}});
  EXPECT_FALSE(load_state(path()).entries[0].tensor.requires_grad());
}

TEST_F(StateFile, a_context_comes_back_with_its_hidden_values) {
  const Context saved = {{{{"x", at::ones({1, 2})}}}, at::arange(3, at::kFloat).view({1, 1, 3})};
  save_context(path(), saved);
  EXPECT_TRUE(load_context(path()).hidden.equal(saved.hidden));
  EXPECT_EQ(load_state(path()).entries.size(), 1);
}

TEST_F(StateFile, a_state_alone_has_no_hidden_values) {
  save_state(path(), example());
  EXPECT_FALSE(load_context(path()).hidden.defined());
}

TEST_F(StateFile, the_empty_state_is_refused) {
  EXPECT_THROW(save_state(path(), {}), Error);
  EXPECT_FALSE(std::filesystem::exists(path()));
}

TEST_F(StateFile, another_safetensors_file_is_refused) {
  write_safetensors(path(), {{"x", at::ones({2, 2})}});
  expect_refused(ErrorCode::unsupported_format, "not a saved state");
}

struct BadFile {
  std::string name;
  std::vector<std::pair<std::string, at::Tensor>> tensors;
  std::string order;
  std::string message;
};

TEST_F(StateFile, a_file_that_contradicts_itself_is_refused) {
  const at::Tensor x = at::ones({2, 3});
  const BadFile files[] = {
      {"missing", {{"x", x}}, "x y", "names y, and there is no such tensor"},
      {"unnamed", {{"x", x}, {"y", x}}, "x", "2 tensors, of which its order of entries names 1"},
      {"twice", {{"x", x}}, "x x", "names x twice"},
      {"rows", {{"x", x}, {"y", at::ones({3, 3})}}, "x y", "y is [3, 3], expected as many rows as x [2, 3]"},
      {"no rows", {{"x", at::ones({})}}, "x", "x is []"},
      {"hidden", {{"x", x}, {"hidden", x}}, "x", "hidden is [2, 3], expected [1, 1, C]"},
      {"integers", {{"x", at::ones({2}, at::kInt)}}, "x", "expected a floating-point one or int64"},
      {"hidden integers", {{"x", x}, {"hidden", at::ones({1, 1, 2}, at::kLong)}}, "x", "of floating-point numbers"},
  };
  for (const BadFile& file : files) {
    SCOPED_TRACE(file.name);
    write_safetensors(path(), file.tensors, {{"wkv_state", file.order}});
    expect_refused(ErrorCode::corrupt_file, file.message);
  }
}

}  // namespace
}  // namespace wkv::zoo
