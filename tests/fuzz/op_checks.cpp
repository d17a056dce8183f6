// A call that the check of an op lets through is one that its kernel may run without looking further: the same letter
// is the same size in all arguments, the dtypes are those that the kernel reads, and the indices stay inside.
#include <cstdlib>
#include <limits>
#include <map>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <string>

#include "based_linear_attention/based_decode_check.h"
#include "bi_wkv/bi_wkv_check.h"
#include "bi_wkv6/bi_wkv6_check.h"
#include "fake_tensor.h"
#include "gated_head_norm/gated_head_norm_check.h"
#include "mix_neighbours/mix_neighbours_check.h"
#include "ms_deform_attn/ms_deform_attn_check.h"
#include "packed_linear/packed_linear_check.h"
#include "short_conv/short_conv_check.h"
#include "sliding_window_attention/sliding_window_attention_check.h"
#include "squared_relu/squared_relu_check.h"
#include "thin_linear/thin_linear_check.h"
#include "wkv4/wkv4_check.h"
#include "wkv6/wkv6_check.h"
#include "wkv7/wkv7_decode_check.h"
#include "wkv7_inputs/wkv7_inputs_check.h"

namespace wkv::fuzz {
namespace {

using Tensor = FakeTensor;
using Optional = std::optional<Tensor>;

void require(bool condition) {
  if (!condition) std::abort();
}

class Input {
 public:
  Input(const uint8_t* data, size_t size) : data_(data), size_(size) {}
  uint8_t byte() { return at_ < size_ ? data_[at_++] : 0; }
  // Mostly small, sometimes any.
  int64_t number() {
    const uint8_t first = byte();
    if (first < 0xf0) return first % 16;
    int64_t value = 0;
    for (int i = 0; i < 8; ++i) value = static_cast<int64_t>(static_cast<uint64_t>(value) << 8 | byte());
    return value;
  }

 private:
  const uint8_t* data_;
  size_t size_, at_ = 0;
};

// An argument: a letter for each dimension, and its kind of dtype. Letters: Z is the length of cu_seqlens; R the number
// of states, Z - 1 or, without cu_seqlens, B; F and G the features of based; digits are themselves; * at the beginning
// is any number of dimensions.
struct Argument {
  std::string letters;
  enum Kind { sequence, parameter, weight, state, index, bounds, packed } kind = sequence;
  bool optional = false;
};

ScalarType expected_dtype(Argument::Kind kind, ScalarType sequences) {
  if (kind == Argument::index || kind == Argument::bounds) return ScalarType::Long;
  if (kind == Argument::packed) return ScalarType::Byte;
  if (kind == Argument::state && sequences != ScalarType::Double) return ScalarType::Float;
  return sequences;
}

bool fits(Argument::Kind kind, ScalarType dtype, ScalarType sequences) {
  if ((kind == Argument::parameter || kind == Argument::weight) && dtype == ScalarType::Float) return true;
  if (kind == Argument::weight && (dtype == ScalarType::BFloat16 || dtype == ScalarType::Half)) return true;
  if (kind == Argument::bounds && dtype == ScalarType::Int) return true;
  return dtype == expected_dtype(kind, sequences);
}

using Sizes = std::map<char, int64_t>;

void derive(Sizes& sizes, bool packed) {
  if (packed) sizes['B'] = 1;
  sizes['R'] = packed ? sizes['Z'] - 1 : sizes['B'];
  const int64_t d = sizes['d'];
  sizes['F'] = 1 + d + d * d;
  sizes['G'] = (d + 1) * (d + 2) / 2;
  for (char digit = '0'; digit <= '9'; ++digit) sizes[digit] = digit - '0';
}

struct Call {
  const char* arguments;  // as parse() reads them
  void (*check)(const std::vector<Optional>& tensors, Input& input);
};

// "BTHN s, HN p, RHMN t?, ...": the letters, the kind (sequence, parameter, weight, staTe, index, cu_seqlens' bounds,
// packed Bytes), whether it may be left out.
std::vector<Argument> parse(const std::string& text) {
  std::vector<Argument> arguments;
  std::istringstream parts(text);
  for (std::string letters, kind; parts >> letters >> kind;) {
    const std::map<char, Argument::Kind> kinds = {
        {'s', Argument::sequence}, {'p', Argument::parameter}, {'w', Argument::weight}, {'t', Argument::state},
        {'i', Argument::index},    {'c', Argument::bounds},    {'b', Argument::packed}};
    arguments.push_back({letters, kinds.at(kind[0]), kind.find('?') != kind.npos});
  }
  return arguments;
}

constexpr Decay kDecays[] = {Decay::kPerToken, Decay::kConstant};

// clang-format off
const Call kCalls[] = {
  {"C p, C p, BTC s, BTC s, R3C t?, Z c?", [](const auto& t, Input&) { check_wkv4("op", *t[0], *t[1], *t[2], *t[3], t[4], t[5]); }},
  {"C p, C p, BC s, BC s, P3C t, B i", [](const auto& t, Input&) { check_wkv4_decode("op", *t[0], *t[1], *t[2], *t[3], *t[4], *t[5]); }},
  {"BTHN s, BTHN s, BTHM s, HN p, HN p, RHMN t?, Z c?", [](const auto& t, Input&) { check_wkv6("op", kDecays[1], *t[0], *t[1], *t[2], *t[3], *t[4], t[5], t[6]); }},
  {"BTHN s, BTHN s, BTHM s, BTHN p, HN p, RHMN t?, Z c?", [](const auto& t, Input&) { check_wkv6("op", kDecays[0], *t[0], *t[1], *t[2], *t[3], *t[4], t[5], t[6]); }},
  {"BHN s, BHN s, BHM s, BHN p, HN p, PHMN t, B i", [](const auto& t, Input&) { check_wkv6_decode("op", kDecays[0], *t[0], *t[1], *t[2], *t[3], *t[4], *t[5], *t[6]); }},
  {"BTHN s, BTHN s, BTHM s, BTHN p, HN p", [](const auto& t, Input&) { check_bi_wkv6("op", *t[0], *t[1], *t[2], *t[3], *t[4]); }},
  {"BTHN s, BTHN p, BTHN s, BTHM s, BTHN s, BTHN s, RHMN t?, Z c?", [](const auto& t, Input&) { check_wkv7("op", *t[0], *t[1], *t[2], *t[3], *t[4], *t[5], t[6], t[7]); }},
  {"BHN s, BHN p, BHN s, BHM s, BHN s, BHN s, PHMN t, B i", [](const auto& t, Input&) { check_wkv7_decode("op", *t[0], *t[1], *t[2], *t[3], *t[4], *t[5], *t[6], *t[7]); }},
  {"BTHd s, BTHd s, BTHv s, RHvF t?, RHF t?, Z c?", [](const auto& t, Input&) { check_based_linear_attention("op", *t[0], *t[1], *t[2], t[3], t[4], t[5]); }},
  {"BHd s, BHd s, BHv s, PHGv t, PHG t, B i", [](const auto& t, Input&) { check_based_decode("op", *t[0], *t[1], *t[2], *t[3], *t[4], *t[5]); }},
  {"BTC s, C1K p, C p?, RCK t?, Z c?", [](const auto& t, Input&) { check_short_conv("op", *t[0], *t[1], t[2], t[3], t[4]); }},
  {"BTHD s, BTHD s, BTHD s, RPHD s?, RPHD s?, R i?, Z c?", [](const auto& t, Input& input) {
     const int64_t keys_back = input.number();
     check_sliding_window_attention("op", *t[0], *t[1], *t[2], keys_back, t[3], t[4], t[5], t[6]);
     require(keys_back >= 0 && keys_back < INT32_MAX + int64_t{1} && t[3].has_value() == t[4].has_value());
   }},
  {"C p, C p, BTC s, BTC s", [](const auto& t, Input& input) { check_bi_wkv("op", *t[0], *t[1], *t[2], *t[3], input.number()); }},
  {"BTHN p, HN p, HN p, BTHN s, BTHN s?, BTHN s?, BTHN s?, HN p?", [](const auto& t, Input&) { check_gated_head_norm("op", *t[0], *t[1], *t[2], *t[3], t[4], t[5], t[6], t[7], 1e-5); }},
  {"BTHN s, BTHN s, BTHN s, HN p, HN p, HN p, HN p, BTHN s?, BTHN s?, BTHN s?, HN p?", [](const auto& t, Input&) {
     check_wkv7_inputs("op", *t[0], *t[1], *t[2], *t[3], *t[4], *t[5], *t[6], t[7], t[8], t[9], t[10]);
   }},
  {"BTC s, RC s, MC p, MBTC s?, Z c?", [](const auto& t, Input&) { check_mix_tokens("op", *t[0], *t[1], *t[2], t[3], t[4]); }},
  {"BTC s, MC p, MBTC s?", [](const auto& t, Input& input) {
     const int64_t height = input.number(), width = input.number(), shift = input.number(), head = input.number(), cls = input.number();
     check_mix_neighbours("op", *t[0], *t[1], t[2], height, width, 0.25, shift, head, cls);
     const auto& sizes = t[0]->sizes();
     require(height >= 0 && width >= 0 && cls >= 0 && static_cast<__int128>(height) * width + cls == sizes[1]);
     require(shift >= 0 && head >= 0 && (head == 0 || sizes[2] % head == 0));
   }},
  {"BSMD s, L2 i, L i, BQMLP2 p, BQMLP p", [](const auto& t, Input&) { check_ms_deform_attn("op", *t[0], *t[1], *t[2], *t[3], *t[4]); }},
  {"*K s, NK w, N p?", [](const auto& t, Input&) { check_thin_linear("op", *t[0], *t[1], t[2]); }},
  {"*K s, OX b, N p?", [](const auto& t, Input&) {
     check_packed_linear("op", *t[0], *t[1], t[2]);
     require(!t[2] || t[2]->sizes()[0] == t[1]->sizes()[0] - 1);
   }},
  {"* s", [](const auto& t, Input&) { check_squared_relu("op", *t[0]); }},
};
// clang-format on

// Every letter is one size, and every argument of a dtype and on a device that fit the first sequence.
void require_consistent(const std::vector<Argument>& arguments, const std::vector<Optional>& tensors, bool packed) {
  const Argument::Kind kind = Argument::sequence;
  const auto reference = static_cast<size_t>(
      std::ranges::find_if(arguments, [&](const Argument& a) { return a.kind == kind && !a.optional; }) -
      arguments.begin());
  const Tensor& first = *tensors[reference];
  Sizes found;
  for (size_t i = 0; i < arguments.size(); ++i) {
    if (!tensors[i]) continue;
    const Argument& argument = arguments[i];
    const auto& sizes = tensors[i]->sizes();
    const bool any = argument.letters.starts_with('*');
    const std::string letters = argument.letters.substr(any);
    require(any ? sizes.size() >= letters.size() : sizes.size() == letters.size());
    const size_t leading = sizes.size() - letters.size();
    for (size_t j = leading; j < sizes.size(); ++j)
      require(found.emplace(letters[j - leading], sizes[j]).first->second == sizes[j]);
    require(fits(argument.kind, tensors[i]->scalar_type(), first.scalar_type()));
    require(tensors[i]->device() == first.device() ||
            ((argument.kind == Argument::index || argument.kind == Argument::bounds) &&
             tensors[i]->device().type() == DeviceType::CPU));
  }
  Sizes derived = found;
  derive(derived, packed);
  for (const auto& [letter, size] : found) require(derived[letter] == size);
}

// One thing about one tensor is not as it should be: a size, the number of dimensions, the dtype, the device.
void damage(Optional& tensor, Input& input) {
  std::vector<int64_t> sizes = tensor ? tensor->sizes() : std::vector<int64_t>{};
  ScalarType dtype = tensor ? tensor->scalar_type() : ScalarType::Float;
  FakeDevice device = tensor ? tensor->device() : FakeDevice{};
  const uint8_t where = input.byte();
  switch (where % 6) {
    case 0:
      sizes.push_back(input.byte() % 4);
      break;
    case 1:
      if (!sizes.empty()) sizes.pop_back();
      break;
    case 2:
      dtype = static_cast<ScalarType>(input.byte() % 16);
      break;
    case 3:
      device = {DeviceType::CUDA, input.byte() % 2};
      break;
    default:
      if (!sizes.empty()) sizes[where / 6 % sizes.size()] = input.byte() % 24;
  }
  tensor = Tensor(sizes, dtype, device);
}

void fuzz_call(Input& input) {
  const Call& call = kCalls[input.byte() % std::size(kCalls)];
  const std::vector<Argument> arguments = parse(call.arguments);
  constexpr ScalarType kDtypes[] = {ScalarType::Float, ScalarType::BFloat16, ScalarType::Half, ScalarType::Double};
  const uint8_t choices = input.byte();
  const ScalarType sequences = kDtypes[choices % 4];
  const FakeDevice device = choices & 4 ? FakeDevice{DeviceType::CUDA, 0} : FakeDevice{};

  bool packed = false;
  std::vector<bool> given;
  for (const Argument& argument : arguments) {
    given.push_back(!argument.optional || input.byte() % 2);
    packed |= given.back() && argument.kind == Argument::bounds;
  }
  Sizes sizes;
  for (const Argument& argument : arguments)
    for (const char letter : argument.letters)
      if (!sizes.contains(letter)) sizes[letter] = input.byte() % 5;
  derive(sizes, packed);
  if (sizes.contains('O')) sizes['N'] = sizes['O'] - 1;
  std::vector<Optional> tensors;
  for (size_t i = 0; i < arguments.size(); ++i) {
    std::vector<int64_t> shape;
    for (const char letter : arguments[i].letters) shape.push_back(sizes[letter]);
    tensors.emplace_back();
    if (given[i]) tensors.back() = Tensor(shape, expected_dtype(arguments[i].kind, sequences), device);
  }
  for (int count = input.byte() % 4; count > 0; --count)
    if (Optional& tensor = tensors[input.byte() % tensors.size()]; tensor) damage(tensor, input);

  try {
    call.check(tensors, input);
  } catch (const std::runtime_error&) {
    return;
  }
  require_consistent(arguments, tensors, packed);
}

// The checks of numbers that stand in tensors.
void fuzz_values(Input& input) {
  std::vector<int64_t> numbers;
  const int64_t count = input.byte() % 5, limit = input.number();
  if (limit < 0) return;
  for (int64_t i = 0; i < 3 * count; ++i) numbers.push_back(input.number());
  try {
    check_slot_values("op", numbers.data(), count, limit);
    for (int64_t i = 0; i < count; ++i) {
      require(numbers[i] >= 0 && numbers[i] < limit);
      for (int64_t j = 0; j < i; ++j) require(numbers[i] != numbers[j]);
    }
  } catch (const std::runtime_error&) {
  }
  try {
    const int64_t* const starts = numbers.data() + 2 * count;
    check_levels("op", numbers.data(), starts, count, limit);
    for (int64_t l = 0; l < count; ++l) {
      const __int128 places = static_cast<__int128>(numbers[2 * l]) * numbers[2 * l + 1];
      require(numbers[2 * l] >= 0 && numbers[2 * l + 1] >= 0 && starts[l] >= 0 && starts[l] + places <= limit);
    }
  } catch (const std::runtime_error&) {
  }
}

void fuzz_packed_header(Input& input) {
  PackedHeader header = {};
  const int64_t rows = input.number();
  header.magic = PackedHeader::kMagic;
  header.format = static_cast<PackedFormat>(input.byte() % 4);
  header.columns = input.number();
  header.rows = input.byte() % 2 ? rows : input.number();
  auto* const bytes = reinterpret_cast<uint8_t*>(&header);
  for (int count = input.byte() % 3; count > 0; --count) bytes[input.byte() % sizeof header] = input.byte();
  std::vector<uint8_t> row(std::max<size_t>(1, 4 * input.byte()));
  std::memcpy(row.data(), &header, std::min(row.size(), sizeof header));
  try {
    const PackedHeader found = packed_header("op", row.data(), rows, static_cast<int64_t>(row.size()));
    require(found.rows == rows && found.columns >= 0);
    // Its smallest format holds half a byte a column.
    require(found.columns / 2 <= static_cast<int64_t>(row.size()));
  } catch (const std::runtime_error&) {
  }
}

}  // namespace
}  // namespace wkv::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  wkv::fuzz::Input input(data, size);
  switch (input.byte() % 8) {
    case 0:
      wkv::fuzz::fuzz_values(input);
      break;
    case 1:
      wkv::fuzz::fuzz_packed_header(input);
      break;
    default:
      wkv::fuzz::fuzz_call(input);
  }
  return 0;
}
