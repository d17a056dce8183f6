#include "text/world_vocabulary.h"

#include <fmt/format.h>

#include <algorithm>
#include <bitset>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <unordered_map>

#include "text/code_points.h"
#include "wkv/error.h"
#include "wkv/zoo/utf8.h"

namespace wkv::zoo {
namespace {

// What is wrong with a line; the caller adds which one.
[[noreturn]] void reject_line(const std::string& problem) { throw Error(ErrorCode::corrupt_file, problem); }

// Reads one Python literal, '...' or "..." (text, to be stored as UTF-8) or b'...' (raw bytes).
class PythonLiteral {
 public:
  explicit PythonLiteral(std::string_view literal) : rest_(literal) {}

  std::string value() {
    raw_ = rest_.starts_with('b');
    if (raw_) rest_.remove_prefix(1);
    if (rest_.size() < 2 || (rest_[0] != '\'' && rest_[0] != '"') || rest_.back() != rest_[0]) {
      reject_line("the token is not a quoted literal");
    }
    const char quote = rest_[0];
    rest_ = rest_.substr(1, rest_.size() - 2);
    std::string bytes;
    while (!rest_.empty()) {
      const char c = take();
      if (c == quote) reject_line("the token's literal ends before the line's last space");
      if (raw_ && (c < ' ' || c > '~')) reject_line("a b'...' literal has a character that is not printable ASCII");
      if (c == '\\') {
        append_escape(bytes);
      } else {
        bytes += c;
      }
    }
    return bytes;
  }

 private:
  char take() {
    if (rest_.empty()) reject_line("the token's literal ends inside an escape");
    const char c = rest_[0];
    rest_.remove_prefix(1);
    return c;
  }

  void append_escape(std::string& bytes) {
    const char kind = take();
    switch (kind) {
      case 'n':
        bytes += '\n';
        return;
      case 't':
        bytes += '\t';
        return;
      case 'r':
        bytes += '\r';
        return;
      case '\\':
      case '\'':
      case '"':
        bytes += kind;
        return;
      case 'x': {
        const std::uint32_t value = hexadecimal(2);
        // In text \xe9 is the character U+00E9, two bytes of UTF-8; only in b'...' is it a byte.
        if (raw_) {
          bytes += static_cast<char>(value);
        } else {
          append_character(bytes, value);
        }
        return;
      }
      case 'u':
        if (!raw_) {
          append_character(bytes, hexadecimal(4));
          return;
        }
        [[fallthrough]];
      default:
        reject_line("the token's literal has an unknown escape");
    }
  }

  std::uint32_t hexadecimal(std::size_t digits) {
    const std::string_view text = rest_.substr(0, digits);
    std::uint32_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, 16);
    if (text.size() != digits || error != std::errc() || end != text.data() + digits) {
      reject_line("the token's literal has an escape without its hexadecimal digits");
    }
    rest_.remove_prefix(digits);
    return value;
  }

  static void append_character(std::string& bytes, std::uint32_t code) {
    if (code >= 0xD800 && code <= 0xDFFF) reject_line("the token's literal has half of a surrogate pair");
    append_code_point(bytes, code);
  }

  std::string_view rest_;
  bool raw_ = false;
};

std::optional<std::size_t> whole_number(std::string_view text) {
  std::size_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// The token of a line that must have this id.
std::string parse_vocabulary_line(std::string_view line, std::size_t id) {
  if (!is_valid_utf8(line)) reject_line("the line is not UTF-8");
  const std::size_t first = line.find(' ');
  const std::size_t last = line.rfind(' ');
  if (first == std::string_view::npos || first == last) reject_line("expected `<id> <literal> <bytes>`");
  if (whole_number(line.substr(0, first)) != id) {
    reject_line(fmt::format("expected the id {} (ids count up from 1)", id));
  }
  std::string token = PythonLiteral(line.substr(first + 1, last - first - 1)).value();
  if (token.empty()) reject_line("the token is empty");
  if (whole_number(line.substr(last + 1)) != token.size()) {
    reject_line(fmt::format("the token has {} bytes, the line's last number says otherwise", token.size()));
  }
  return token;
}

}  // namespace

std::vector<std::string> parse_world_vocabulary(std::string_view file, const std::string& source) {
  std::vector<std::string> tokens;
  std::unordered_map<std::string, std::size_t> lines;  // token -> its line
  std::bitset<256> single_bytes;
  while (!file.empty()) {
    const std::size_t number = tokens.size() + 1;
    const std::size_t end = std::min(file.find('\n'), file.size());
    std::string_view line = file.substr(0, end);
    file.remove_prefix(std::min(end + 1, file.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    try {
      tokens.push_back(parse_vocabulary_line(line, number));
      const auto [other, is_new] = lines.emplace(tokens.back(), number);
      if (!is_new) reject_line(fmt::format("the token is the same as in line {}", other->second));
    } catch (const Error& problem) {
      throw Error(ErrorCode::corrupt_file, fmt::format("{}: line {}: {}", source, number, problem.what()));
    }
    if (tokens.back().size() == 1) single_bytes.set(static_cast<unsigned char>(tokens.back()[0]));
  }
  for (std::size_t byte = 0; byte < 256; ++byte) {
    if (!single_bytes[byte]) {
      throw Error(
          ErrorCode::corrupt_file,
          fmt::format("{}: no token for the byte 0x{:02X}: not a World vocabulary, or cut short", source, byte));
    }
  }
  return tokens;
}

}  // namespace wkv::zoo
