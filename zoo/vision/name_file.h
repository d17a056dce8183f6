// Files of names from strangers: text with one a line, or JSON.
#pragma once
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "wkv/zoo/labels.h"

namespace wkv::zoo {

// Every function throws wkv::Error, which begins with the file's name.

// .json: a list, as parse_classes takes it; others: one name a line. No name may be there twice.
std::vector<ClassNames> read_classes(const std::filesystem::path& path);
// .json: a list of texts; others: one a line.
std::vector<std::string> read_texts(const std::filesystem::path& path);
nlohmann::json read_json(const std::filesystem::path& path);
// The lines without the spaces around them, and without those that are empty.
std::vector<std::string> read_lines(const std::filesystem::path& path);

// A list of names, of lists of synonyms, or of objects {"index", "name"}. `where` begins messages.
std::vector<ClassNames> parse_classes(const nlohmann::json& list, const std::string& where);
std::vector<std::string> parse_texts(const nlohmann::json& list, const std::string& where);

void refuse_duplicates(const std::vector<ClassNames>& classes, const std::string& where);

// Without spaces, tabs and carriage returns at either end.
std::string_view trimmed(std::string_view text);

}  // namespace wkv::zoo
