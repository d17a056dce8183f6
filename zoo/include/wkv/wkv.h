// Everything: ops, models, zoo.
#pragma once
#include "wkv/error.h"
#include "wkv/models/language_model.h"
#include "wkv/models/rwkv7.h"
#include "wkv/models/state.h"
#include "wkv/ops.h"
#include "wkv/version.h"
#include "wkv/zoo/generate.h"
#include "wkv/zoo/load.h"
#include "wkv/zoo/sampler.h"
#include "wkv/zoo/score.h"
#include "wkv/zoo/tensor_source.h"
#include "wkv/zoo/tokenizer.h"
