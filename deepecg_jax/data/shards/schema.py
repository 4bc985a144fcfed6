"""The features of every data set on disk, and their encoding as ``tf.train.Example``.

Data sets are TFDS data sets (``file_format=array_record``) that any TFDS reads. Writing and
reading them here does not go through TFDS' own serializer, for speed and because its map order is
not fixed: the message type is declared below with protobuf alone, and serialized
deterministically, so that equal examples are equal bytes.
"""

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

if TYPE_CHECKING:
    import tensorflow_datasets as tfds

SIGNAL_SHAPE = (2500, 12)
"""Samples (10 s at 250 Hz) and leads of a stored signal: int16 microvolts."""

_TEXTS = ("record_id", "patient_id", "sex", "site", "device", "report")
_FLOATS = ("age", "time_days")
FEATURES: tuple[str, ...] = (
    *("signal", "lead_mask", "record_id", "patient_id", "age", "sex"),
    *("site", "device", "report", "labels", "time_days", "event"),
)


def features(n_labels: int) -> "tfds.features.FeaturesDict":
    """The TFDS features of a data set with ``n_labels`` labels (at least one)."""
    import tensorflow_datasets as tfds

    text, number = tfds.features.Text(), tfds.features.Scalar(np.float32)
    return tfds.features.FeaturesDict(
        {
            "signal": tfds.features.Tensor(shape=SIGNAL_SHAPE, dtype=np.int16, encoding="bytes"),
            "lead_mask": tfds.features.Tensor(shape=SIGNAL_SHAPE[1:], dtype=np.bool_),
            **{name: text for name in _TEXTS},
            **{name: number for name in _FLOATS},
            "labels": tfds.features.Tensor(shape=(n_labels,), dtype=np.int8),
            "event": tfds.features.Scalar(np.int8),
        }
    )


@cache
def _example_class() -> Any:
    """The protobuf class of ``tf.train.Example`` (field numbers of TensorFlow's example.proto)."""
    field_type = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="deepecg_example.proto", syntax="proto3")
    file.package = "deepecg"

    def message(name: str, *fields: tuple[str, int, int, bool, str]) -> Any:
        made = file.message_type.add(name=name)
        for field_name, number, kind, repeated, type_name in fields:
            label = field_type.LABEL_REPEATED if repeated else field_type.LABEL_OPTIONAL
            made.field.add(
                name=field_name,
                number=number,
                type=kind,
                label=label,
                type_name=f".deepecg.{type_name}" if type_name else None,
            )
        return made

    nested = field_type.TYPE_MESSAGE
    message("BytesList", ("value", 1, field_type.TYPE_BYTES, True, ""))
    message("FloatList", ("value", 1, field_type.TYPE_FLOAT, True, ""))
    message("Int64List", ("value", 1, field_type.TYPE_INT64, True, ""))
    kinds = [("bytes_list", "BytesList"), ("float_list", "FloatList"), ("int64_list", "Int64List")]
    feature = message(
        "Feature",
        *((name, number, nested, False, kind) for number, (name, kind) in enumerate(kinds, 1)),
    )
    feature.oneof_decl.add(name="kind")
    for field in feature.field:
        field.oneof_index = 0
    holder = message("Features", ("feature", 1, nested, True, "Features.FeatureEntry"))
    entry = holder.nested_type.add(name="FeatureEntry")
    entry.options.map_entry = True
    entry.field.add(name="key", number=1, type=field_type.TYPE_STRING, label=1)
    entry.field.add(name="value", number=2, type=nested, label=1, type_name=".deepecg.Feature")
    message("Example", ("features", 1, nested, False, "Features"))
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("deepecg.Example"))


def encode(example: Mapping[str, Any]) -> bytes:
    """Serialize an example with exactly the features of the schema; equal examples, equal bytes.

    Raises:
        ValueError: a feature is missing or unknown, or the signal has another shape or dtype.
    """
    if set(example) != set(FEATURES):
        raise ValueError(f"features differ from the schema: {sorted(set(example) ^ set(FEATURES))}")
    signal = np.asarray(example["signal"])
    if signal.shape != SIGNAL_SHAPE or signal.dtype != np.int16:
        raise ValueError(f"signal is {signal.dtype} {signal.shape}, not int16 {SIGNAL_SHAPE}")
    message = _example_class()()
    feature = message.features.feature
    feature["signal"].bytes_list.value.append(signal.astype("<i2", copy=False).tobytes())
    for name in ("lead_mask", "labels"):
        feature[name].int64_list.value.extend(np.asarray(example[name], np.int64).tolist())
    feature["event"].int64_list.value.append(int(example["event"]))
    for name in _TEXTS:
        feature[name].bytes_list.value.append(str(example[name]).encode())
    for name in _FLOATS:
        feature[name].float_list.value.append(float(example[name]))
    return message.SerializeToString(deterministic=True)


def decode(record: bytes) -> dict[str, Any]:
    """One stored ECG: arrays ``signal`` int16 (2500, 12) microvolts, ``lead_mask`` bool (12,),
    ``labels`` int8 (C,); numpy scalars ``age``, ``time_days`` float32, ``event`` int8; texts str.

    Raises:
        ValueError: the bytes are not an example of this schema.
    """
    try:
        feature = _example_class().FromString(record).features.feature
        out: dict[str, Any] = {}
        signal = np.frombuffer(feature["signal"].bytes_list.value[0], "<i2")
        out["signal"] = signal.reshape(SIGNAL_SHAPE)
        out["lead_mask"] = np.array(feature["lead_mask"].int64_list.value, bool)
        out["labels"] = np.array(feature["labels"].int64_list.value, np.int8)
        out["event"] = np.int8(feature["event"].int64_list.value[0])
        for name in _TEXTS:
            out[name] = feature[name].bytes_list.value[0].decode()
        for name in _FLOATS:
            out[name] = np.float32(feature[name].float_list.value[0])
    except Exception as error:  # protobuf's DecodeError is no ValueError
        raise ValueError(f"not an ECG example: {error}") from error
    return out
