// Cards as JSON, read as files of strangers are: zoo/cards/schema/card.schema.json says what is in one.
#pragma once
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "wkv/export.h"
#include "wkv/zoo/catalogue.h"

namespace wkv::zoo {

// Refuses what is not JSON, is nested too deeply or names a key twice. where: for messages, here and below.
WKV_API nlohmann::ordered_json parse_card_json(std::string_view text, const std::string& where);

// Keys that no field needs are left to the card's JSON. Throws wkv::Error (corrupt_file), which names the key, for a
// key that is missing or of another type, and for names, paths and addresses that could lead elsewhere than they say.
WKV_API Card read_card(const nlohmann::ordered_json& json, const std::string& where);
WKV_API DataCard read_data_card(const nlohmann::ordered_json& json, const std::string& where);

}  // namespace wkv::zoo
