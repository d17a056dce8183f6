#include "wkv/zoo/state_file.h"

#include <ATen/Functions.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "wkv/error.h"
#include "wkv/zoo/tensor_source.h"
