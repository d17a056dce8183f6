// sliding_window_attention alone: its golden files, its windows, and what it refuses.
#include "reference/sliding_window_attention.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include "extension/fixture.h"
#include "extension/op_cases.h"
#include "wkv/ops.h"

namespace wkv::test::sliding_window_attention_op {
namespace {

constexpr int64_t kKeysBack = 5;

OpCase sliding_window_attention_case() {
  const auto past = [](const OpShape& s) {
    return random_keys(1)({.batch = s.batch, .time = kKeysBack + 1, .heads = s.heads, .key = s.key});
  };
  return {
      .name = "sliding_window_attention",
      .arguments = {{"q", true, false, random_keys(1)},
                    {"k", true, false, random_keys(1)},
                    {"v", true, false, random_keys(1)}},
      .states = {past, past},
      .call =
          [](const Tensors& x, const Tensors& states, const at::Tensor& cu_seqlens) {
            auto [y, k, v] = ops::sliding_window_attention(
                x[0], x[1], x[2], kKeysBack, std::nullopt, if_defined(state_at(states, 0)),
                if_defined(state_at(states, 1)), std::nullopt, if_defined(cu_seqlens));
            return Tensors{y, k, v};
          },
      .reference =
          [](const Tensors& x, const Tensors& states) {
            auto [y, k, v] = reference::sliding_window_attention(x[0], x[1], x[2], kKeysBack, state_at(states, 0),
                                                                 state_at(states, 1));
            return Tensors{y, k, v};
          },
      .states_have_io_dtype = true,
  };
}
const OpCaseRow kRow(sliding_window_attention_case());

Tensors random_tensors(std::initializer_list<std::vector<int64_t>> shapes, uint64_t seed) {
  at::manual_seed(seed);
  Tensors tensors;
  for (const auto& shape : shapes) tensors.push_back(at::randn(shape, at::kDouble).requires_grad_());
  return tensors;
}

// --- golden files ---

at::Tensor rotated(const at::Tensor& x, const Fixture& fixture) {
  if (!fixture.contains("in.cos")) return x;
  const auto table = [&](const char* name) {
    return fixture.at(name).to(x.scalar_type()).unsqueeze(1);
  };  // [T, 1, D/2]
  const Tensors halves = x.chunk(2, -1);
  const at::Tensor cos = table("in.cos"), sin = table("in.sin");
  return at::cat({halves[0] * cos - halves[1] * sin, halves[1] * cos + halves[0] * sin}, -1);
}

class WindowFixture : public testing::TestWithParam<std::tuple<std::string, at::ScalarType>> {
 protected:
  at::Tensor input(const char* key) const { return fixture.at(key).to(dtype).requires_grad_(); }

  const at::ScalarType dtype = std::get<1>(GetParam());
  const Fixture fixture = load_fixture(golden("sliding_window_attention/" + std::get<0>(GetParam()) + ".safetensors"));
  // "w128_..." is a window of 128: 64 keys back.
  const int64_t keys_back = std::stoll(std::get<0>(GetParam()).substr(1)) / 2;
  const Tolerance tolerance = tolerance_of(dtype);
};

TEST_P(WindowFixture, outputs_and_gradients_agree) {
  const Tensors x{input("in.q"), input("in.k"), input("in.v")};
  const at::Tensor y =
      std::get<0>(ops::sliding_window_attention(rotated(x[0], fixture), rotated(x[1], fixture), x[2], keys_back));
  EXPECT_LE(difference(y, fixture.at("out.y")), tolerance.output);
  const Tensors found = torch::autograd::grad({y}, x, {fixture.at("in.grad_out").to(dtype)});
  const char* const names[] = {"grad.q", "grad.k", "grad.v"};
  double largest = 0;
  for (const char* name : names) largest = std::max(largest, fixture.at(name).abs().max().item<double>());
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_LE(difference(found[i], fixture.at(names[i]), 1e-3 * largest), tolerance.gradient) << names[i];
  }
}

TEST_P(WindowFixture, the_window_agrees) {
  for (const auto& [key, expected] : fixture) {
    if (key.rfind("state.after_", 0) != 0) continue;
    const int64_t T = std::stoll(key.substr(12));
    const auto start = [&](const at::Tensor& x) { return x.narrow(1, 0, T); };
    const auto [y, window_k, window_v] =
        ops::sliding_window_attention(start(rotated(input("in.q"), fixture)), start(rotated(input("in.k"), fixture)),
                                      start(input("in.v")), keys_back);
    const bool is_key = key.find("window_k") != std::string::npos;
    EXPECT_LE(difference(is_key ? window_k : window_v, expected), tolerance.output) << key;
  }
}

INSTANTIATE_TEST_SUITE_P(File, WindowFixture,
                         testing::Combine(testing::ValuesIn(fixture_names("sliding_window_attention")),
                                          testing::Values(at::kFloat, at::kDouble, at::kBFloat16, at::kHalf)),
                         [](const auto& test) {
                           return std::get<0>(test.param) + "_" + at::toString(std::get<1>(test.param));
                         });

// --- windows of every size ---

struct WindowSize {
  int64_t keys_back, past, time;
};

class WindowOfSize : public testing::TestWithParam<WindowSize> {};

TEST_P(WindowOfSize, outputs_and_gradients_agree_with_the_reference) {
  const auto [keys_back, past, time] = GetParam();
  const Tensors x =
      random_tensors({{2, time, 2, 20}, {2, time, 2, 20}, {2, time, 2, 20}, {2, past, 2, 20}, {2, past, 2, 20}}, 61);
  const auto [y, k, v] = ops::sliding_window_attention(x[0], x[1], x[2], keys_back, std::nullopt, x[3], x[4]);
  const auto [expected_y, expected_k, expected_v] =
      reference::sliding_window_attention(x[0], x[1], x[2], keys_back, x[3], x[4]);
  EXPECT_LE(difference(y, expected_y), 1e-12);
  EXPECT_TRUE(at::equal(k, expected_k));
  EXPECT_TRUE(at::equal(v, expected_v));
  const Tensors found = gradients({y, k, v}, x), expected = gradients({expected_y, expected_k, expected_v}, x);
  for (size_t i = 0; i < x.size(); ++i) EXPECT_LE(difference(found[i], expected[i]), 1e-11) << i;
}

INSTANTIATE_TEST_SUITE_P(Of, WindowOfSize,
                         testing::Values(WindowSize{0, 0, 40}, WindowSize{0, 3, 5}, WindowSize{1, 0, 70},
                                         WindowSize{3, 1, 9}, WindowSize{7, 20, 1}, WindowSize{31, 32, 65},
                                         WindowSize{64, 0, 200}, WindowSize{64, 65, 130}, WindowSize{64, 65, 1},
                                         WindowSize{64, 10, 64}, WindowSize{63, 200, 129}, WindowSize{100, 40, 190},
                                         WindowSize{1000, 0, 150}, WindowSize{1000, 30, 150}, WindowSize{5, 9, 0},
                                         WindowSize{1 << 30, 3, 5}),
                         [](const auto& test) {
                           const WindowSize& s = test.param;
                           return "W" + std::to_string(s.keys_back) + "_P" + std::to_string(s.past) + "_T" +
                                  std::to_string(s.time);
                         });

// --- a past of which only a part is real ---

TEST(SlidingWindowAttention, a_past_length_hides_the_rest) {
  const int64_t P = 6, T = 9;
  const Tensors x = random_tensors({{3, T, 2, 8}, {3, T, 2, 8}, {3, T, 2, 8}, {3, P, 2, 8}, {3, P, 2, 8}}, 62);
  // What is not real may hold anything.
  Tensors past;
  const std::vector<int64_t> lengths{0, 2, 6};
  for (const size_t i : {3, 4}) {
    at::Tensor tensor = x[i].detach().clone();
    for (int64_t row = 0; row < 3; ++row) {
      tensor.select(0, row).narrow(0, 0, P - lengths[row]).fill_(std::numeric_limits<double>::quiet_NaN());
    }
    past.push_back(tensor.requires_grad_());
  }
  const auto [y, k, v] = ops::sliding_window_attention(x[0], x[1], x[2], 11, std::nullopt, past[0], past[1],
                                                       at::tensor(lengths, at::kLong));
  const Tensors found = gradients({y, k, v}, {x[0], x[1], x[2], past[0], past[1]});
  at::manual_seed(99);  // the weights of `gradients`
  const Tensors weights{at::randn(y.sizes(), at::kDouble), at::randn(k.sizes(), at::kDouble),
                        at::randn(v.sizes(), at::kDouble)};
  for (int64_t row = 0; row < 3; ++row) {
    SCOPED_TRACE(row);
    const int64_t real = lengths[row];
    Tensors own;
    for (size_t i = 0; i < 5; ++i) {
      const at::Tensor all = x[i].detach().narrow(0, row, 1);
      own.push_back((i < 3 ? all : all.narrow(1, P - real, real)).clone().requires_grad_());
    }
    const auto [own_y, own_k, own_v] = reference::sliding_window_attention(own[0], own[1], own[2], 11, own[3], own[4]);
    EXPECT_LE(difference(y.narrow(0, row, 1), own_y), 1e-12);
    const int64_t window = k.size(1), seen = own_k.size(1);
    EXPECT_TRUE(at::equal(k.narrow(0, row, 1).narrow(1, window - seen, seen), own_k));
    EXPECT_TRUE(at::equal(v.narrow(0, row, 1).narrow(1, window - seen, seen), own_v));
    EXPECT_TRUE((k.select(0, row).narrow(0, 0, window - seen) == 0).all().item<bool>());
    const Tensors expected = torch::autograd::grad(
        {own_y, own_k, own_v}, own,
        {weights[0].narrow(0, row, 1), weights[1].narrow(0, row, 1).narrow(1, window - seen, seen),
         weights[2].narrow(0, row, 1).narrow(1, window - seen, seen)});
    for (size_t i = 0; i < 5; ++i) {
      const at::Tensor all = found[i].narrow(0, row, 1);
      EXPECT_LE(difference(i < 3 ? all : all.narrow(1, P - real, real), expected[i]), 1e-11) << i;
      if (i >= 3) {
        EXPECT_TRUE((all.narrow(1, 0, P - real) == 0).all().item<bool>()) << i;
      }
    }
  }
}

TEST(SlidingWindowAttention, packed_windows_are_filled_up_with_zeros) {
  const Tensors x = random_tensors({{1, 8, 2, 4}, {1, 8, 2, 4}, {1, 8, 2, 4}}, 63);
  const auto [y, k, v] = ops::sliding_window_attention(x[0], x[1], x[2], 3, std::nullopt, std::nullopt, std::nullopt,
                                                       std::nullopt, bounds({0, 2, 2, 8}));
  ASSERT_EQ(k.sizes(), at::IntArrayRef({3, 4, 2, 4}));
  EXPECT_TRUE(at::equal(k.select(0, 0), at::cat({at::zeros({2, 2, 4}, at::kDouble), x[1][0].narrow(0, 0, 2)})));
  EXPECT_TRUE(at::equal(v.select(0, 1), at::zeros({4, 2, 4}, at::kDouble)));
  EXPECT_TRUE(at::equal(v.select(0, 2), x[2][0].narrow(0, 4, 4)));
  const at::Tensor expected = std::get<0>(
      reference::sliding_window_attention(x[0].narrow(1, 2, 6), x[1].narrow(1, 2, 6), x[2].narrow(1, 2, 6), 3, {}, {}));
  EXPECT_LE(difference(y.narrow(1, 2, 6), expected), 1e-13);
}

TEST(SlidingWindowAttention, packed_windows_and_their_lengths_continue_the_sequences) {
  const Tensors x = random_tensors({{1, 20, 2, 4}, {1, 20, 2, 4}, {1, 20, 2, 4}}, 64);
  const auto rows = [&](std::vector<std::pair<int64_t, int64_t>> parts) {
    Tensors packed;
    for (const at::Tensor& tensor : x) {
      Tensors pieces;
      for (const auto& [begin, end] : parts) pieces.push_back(tensor.narrow(1, begin, end - begin));
      packed.push_back(at::cat(pieces, 1));
    }
    return packed;
  };
  // Two sequences, tokens 0..8 and 8..20, cut after 2 and 9 of their tokens.
  const at::Tensor whole = std::get<0>(ops::sliding_window_attention(x[0], x[1], x[2], 5, std::nullopt, std::nullopt,
                                                                     std::nullopt, std::nullopt, bounds({0, 8, 20})));
  const Tensors head = rows({{0, 2}, {8, 17}}), tail = rows({{2, 8}, {17, 20}});
  const auto [y, k, v] = ops::sliding_window_attention(head[0], head[1], head[2], 5, std::nullopt, std::nullopt,
                                                       std::nullopt, std::nullopt, bounds({0, 2, 11}));
  const at::Tensor rest = std::get<0>(ops::sliding_window_attention(tail[0], tail[1], tail[2], 5, std::nullopt, k, v,
                                                                    bounds({2, 6}), bounds({0, 6, 9})));
  EXPECT_LE(
      difference(at::cat({y.narrow(1, 0, 2), rest.narrow(1, 0, 6), y.narrow(1, 2, 9), rest.narrow(1, 6, 3)}, 1), whole),
      1e-13);
}

// --- numbers ---

TEST(SlidingWindowAttention, a_key_outside_of_the_window_has_no_influence) {
  const OpInputs inputs = make_inputs(op_case("sliding_window_attention"), {.time = 90}, at::kFloat, 65);
  const at::Tensor expected = op_case("sliding_window_attention").call(inputs.arguments, {}, {})[0];
  for (const int64_t at : {0, 3, 64, 70}) {
    Tensors x = inputs.arguments;
    for (const size_t i : {1, 2}) {
      x[i] = x[i].clone();
      x[i].narrow(1, at, 1).fill_(std::numeric_limits<float>::quiet_NaN());
    }
    const at::Tensor y = op_case("sliding_window_attention").call(x, {}, {})[0];
    for (int64_t query = 0; query < 90; ++query) {
      if (at <= query && query <= at + kKeysBack) {
        EXPECT_TRUE(y.select(1, query).isnan().all().item<bool>()) << at << " " << query;
      } else {
        EXPECT_TRUE(at::equal(y.select(1, query), expected.select(1, query))) << at << " " << query;
      }
    }
  }
}

TEST(SlidingWindowAttention, scores_that_exp_can_not_hold_are_right) {
  const Tensors x = random_tensors({{1, 80, 1, 16}, {1, 80, 1, 16}, {1, 80, 1, 16}}, 66);
  const auto call = [&](at::ScalarType dtype) {
    return std::get<0>(ops::sliding_window_attention(x[0].to(dtype) * 300, x[1].to(dtype), x[2].to(dtype), 40));
  };
  const at::Tensor expected = std::get<0>(reference::sliding_window_attention(
      (x[0].to(at::kFloat) * 300).to(at::kDouble), x[1].to(at::kFloat).to(at::kDouble), x[2], 40, {}, {}));
  EXPECT_LE(difference(call(at::kFloat), expected), 3e-4);
  for (const at::Tensor& g : gradients({call(at::kFloat)}, x)) EXPECT_TRUE(g.isfinite().all().item<bool>());
}

TEST(SlidingWindowAttention, the_scale_multiplies_the_scores) {
  const Tensors x = random_tensors({{2, 10, 2, 4}, {2, 10, 2, 4}, {2, 10, 2, 4}}, 67);
  const at::Tensor y = std::get<0>(ops::sliding_window_attention(x[0], x[1], x[2], 6, 0.7)),
                   expected = std::get<0>(ops::sliding_window_attention(x[0] * 1.4, x[1], x[2], 6));
  EXPECT_LE(difference(y, expected), 1e-13);
  const Tensors found = gradients({y}, x), expected_gradients = gradients({expected}, x);
  for (size_t i = 0; i < 3; ++i) EXPECT_LE(difference(found[i], expected_gradients[i]), 1e-12) << i;
}

// --- refusals ---

const Refusal kRefusals[] = {
    {"q_three_dimensions", [](auto& x, auto&, auto&) { x[0] = x[0].select(0, 0); },
     "sliding_window_attention: q must have the 4 dimensions [B, T, H, D], got shape [17, 2, 16]"},
    {"k_shape", [](auto& x, auto&, auto&) { x[1] = x[1].narrow(1, 0, 16); },
     "sliding_window_attention: k must have shape [B, T, H, D] = [2, 17, 2, 16], got [2, 16, 2, 16]"},
    {"v_shape", [](auto& x, auto&, auto&) { x[2] = x[2].narrow(3, 0, 8); },
     "sliding_window_attention: v must have shape [B, T, H, D] = [2, 17, 2, 16], got [2, 17, 2, 8]"},
    {"past_k_dimensions", [](auto&, auto& states, auto&) { states[0] = states[0].select(0, 0); },
     "sliding_window_attention: past_k must have the 4 dimensions [B, P, H, D], got shape [6, 2, 16]"},
    {"past_k_shape", [](auto&, auto& states, auto&) { states[0] = states[0].narrow(2, 0, 1); },
     "sliding_window_attention: past_k must have shape [B, P, H, D] = [2, 6, 2, 16], got [2, 6, 1, 16]"},
    {"past_v_shape", [](auto&, auto& states, auto&) { states[1] = states[1].narrow(1, 0, 5); },
     "sliding_window_attention: past_v must have shape [B, P, H, D] = [2, 6, 2, 16], got [2, 5, 2, 16]"},
    {"past_k_alone", [](auto&, auto& states, auto&) { states.pop_back(); },
     "sliding_window_attention: past_k and past_v must be given together"},
    {"head_too_large",
     [](auto& x, auto& states, auto&) {
       for (auto& t : x) t = at::zeros({1, 1, 1, 257});
       states.clear();
     },
     "sliding_window_attention: the head size D of q must be 1 to 256, got 257"},
    {"head_empty",
     [](auto& x, auto& states, auto&) {
       for (auto& t : x) t = at::zeros({1, 1, 1, 0});
       states.clear();
     },
     "sliding_window_attention: the head size D of q must be 1 to 256, got 0"},
    {"q_integer", [](auto& x, auto&, auto&) { x[0] = x[0].to(at::kInt); },
     "sliding_window_attention: q must have dtype Float or BFloat16 or Half or Double, got Int"},
    {"k_dtype", [](auto& x, auto&, auto&) { x[1] = x[1].to(at::kHalf); },
     "sliding_window_attention: k must have dtype Float, got Half"},
    {"v_dtype", [](auto& x, auto&, auto&) { x[2] = x[2].to(at::kDouble); },
     "sliding_window_attention: v must have dtype Float, got Double"},
    {"past_k_dtype", [](auto&, auto& states, auto&) { states[0] = states[0].to(at::kHalf); },
     "sliding_window_attention: past_k must have dtype Float, got Half"},
    {"past_v_dtype", [](auto&, auto& states, auto&) { states[1] = states[1].to(at::kHalf); },
     "sliding_window_attention: past_v must have dtype Float, got Half"},
    {"q_undefined", [](auto& x, auto&, auto&) { x[0] = at::Tensor(); },
     "sliding_window_attention: q must be a tensor, got None"},
    {"v_meta", [](auto& x, auto&, auto&) { x[2] = x[2].to(at::kMeta); },
     "sliding_window_attention: v must be on cpu as q is, got meta"},
    {"past_k_meta", [](auto&, auto& states, auto&) { states[0] = states[0].to(at::kMeta); },
     "sliding_window_attention: past_k must be on cpu as q is, got meta"},
    {"past_v_meta", [](auto&, auto& states, auto&) { states[1] = states[1].to(at::kMeta); },
     "sliding_window_attention: past_v must be on cpu as q is, got meta"},
    {"k_sparse", [](auto& x, auto&, auto&) { x[1] = x[1].to_sparse(); }, "dense (strided)"},
    {"packed_batch",
     [](auto&, auto&, auto& cu) {
       cu = bounds({0, 17});
     },
     "sliding_window_attention: with cu_seqlens the batch must be 1, got q of shape [2, 17, 2, 16]"},
    {"packed_past",
     [](auto& x, auto&, auto& cu) {
       for (auto& t : x) t = t.narrow(0, 0, 1);
       cu = bounds({0, 9, 12, 17});
     },
     "sliding_window_attention: past_k must have shape [S, P, H, D] = [3, 6, 2, 16], got [2, 6, 2, 16]"},
    {"packed_bounds",
     [](auto& x, auto& states, auto& cu) {
       for (auto& t : x) t = t.narrow(0, 0, 1);
       states.clear();
       cu = bounds({1, 17});
     },
     "sliding_window_attention: cu_seqlens must start at 0, got 1"},
};

class WindowRefuses : public testing::TestWithParam<Refusal> {};

TEST_P(WindowRefuses, with_a_message_that_names_the_argument) {
  expect_refused(op_case("sliding_window_attention"), GetParam());
}

INSTANTIATE_TEST_SUITE_P(Call, WindowRefuses, testing::ValuesIn(kRefusals),
                         [](const auto& test) { return test.param.name; });

struct WindowOptionRefusal {
  const char* name;
  int64_t keys_back;
  bool with_past;
  at::Tensor past_length;
  const char* message;
};

class WindowRefusesOption : public testing::TestWithParam<WindowOptionRefusal> {};

TEST_P(WindowRefusesOption, with_a_message_that_names_it) {
  const auto& [name, keys_back, with_past, past_length, message] = GetParam();
  const OpInputs inputs = make_inputs(op_case("sliding_window_attention"), {}, at::kFloat, 68);
  const Tensors &x = inputs.arguments, states = with_past ? inputs.states : Tensors();
  try {
    ops::sliding_window_attention(x[0], x[1], x[2], keys_back, std::nullopt, if_defined(state_at(states, 0)),
                                  if_defined(state_at(states, 1)), if_defined(past_length));
    FAIL() << "accepted";
  } catch (const std::exception& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr(message));
  }
}

INSTANTIATE_TEST_SUITE_P(
    Of, WindowRefusesOption,
    testing::Values(
        WindowOptionRefusal{"keys_back_negative", -1, true, {}, "keys_back must be 0 to 2147483647, got -1"},
        WindowOptionRefusal{"keys_back_huge", int64_t{1} << 40, true, {}, "keys_back must be 0 to 2147483647, got"},
        WindowOptionRefusal{"length_without_past", 5, false, bounds({1, 1}), "past_length needs past_k and past_v"},
        WindowOptionRefusal{"length_of_another_batch", 5, true, bounds({1}), "past_length must have shape [B] = [2]"},
        WindowOptionRefusal{"length_too_large", 5, true, bounds({6, 7}),
                            "past_length must be 0 to P = 6, got 7 at entry 1"},
        WindowOptionRefusal{"length_negative", 5, true, bounds({-1, 6}),
                            "past_length must be 0 to P = 6, got -1 at entry 0"},
        WindowOptionRefusal{"length_dtype", 5, true, bounds({1, 1}).to(at::kInt),
                            "past_length must have dtype Long, got Int"}),
    [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace wkv::test::sliding_window_attention_op
