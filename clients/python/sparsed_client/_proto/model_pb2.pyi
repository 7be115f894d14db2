from google.protobuf import duration_pb2 as _duration_pb2
from sparsed_client._proto import generation_pb2 as _generation_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class GetModelRequest(_message.Message):
    __slots__ = ["name"]
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class GetModelResponse(_message.Message):
    __slots__ = ["model"]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    model: Model
    def __init__(self, model: _Optional[_Union[Model, _Mapping]] = ...) -> None: ...

class GetServerInfoRequest(_message.Message):
    __slots__ = []
    def __init__(self) -> None: ...

class GetServerInfoResponse(_message.Message):
    __slots__ = ["commit", "device", "limits", "uptime", "version"]
    class LimitsEntry(_message.Message):
        __slots__ = ["key", "value"]
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    COMMIT_FIELD_NUMBER: _ClassVar[int]
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    UPTIME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    commit: str
    device: str
    limits: _containers.ScalarMap[str, int]
    uptime: _duration_pb2.Duration
    version: str
    def __init__(self, version: _Optional[str] = ..., commit: _Optional[str] = ..., device: _Optional[str] = ..., limits: _Optional[_Mapping[str, int]] = ..., uptime: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class ListModelsRequest(_message.Message):
    __slots__ = ["page_size", "page_token"]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListModelsResponse(_message.Message):
    __slots__ = ["models", "next_page_token"]
    MODELS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    models: _containers.RepeatedCompositeFieldContainer[Model]
    next_page_token: str
    def __init__(self, models: _Optional[_Iterable[_Union[Model, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class Model(_message.Message):
    __slots__ = ["chat_template", "default_algorithm_temperature", "default_remasking", "default_temperature", "default_top_k", "default_top_p", "device", "dtype", "end_tokens", "family", "ffn_size", "head_dim", "heads", "hidden_size", "kv_heads", "layers", "mask_token", "mask_token_id", "max_tokens", "memory_bytes", "name", "parameters", "ready", "tokenizer", "vocabulary", "weights"]
    CHAT_TEMPLATE_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_ALGORITHM_TEMPERATURE_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_REMASKING_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_TEMPERATURE_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_TOP_K_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_TOP_P_FIELD_NUMBER: _ClassVar[int]
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    DTYPE_FIELD_NUMBER: _ClassVar[int]
    END_TOKENS_FIELD_NUMBER: _ClassVar[int]
    FAMILY_FIELD_NUMBER: _ClassVar[int]
    FFN_SIZE_FIELD_NUMBER: _ClassVar[int]
    HEADS_FIELD_NUMBER: _ClassVar[int]
    HEAD_DIM_FIELD_NUMBER: _ClassVar[int]
    HIDDEN_SIZE_FIELD_NUMBER: _ClassVar[int]
    KV_HEADS_FIELD_NUMBER: _ClassVar[int]
    LAYERS_FIELD_NUMBER: _ClassVar[int]
    MASK_TOKEN_FIELD_NUMBER: _ClassVar[int]
    MASK_TOKEN_ID_FIELD_NUMBER: _ClassVar[int]
    MAX_TOKENS_FIELD_NUMBER: _ClassVar[int]
    MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    READY_FIELD_NUMBER: _ClassVar[int]
    TOKENIZER_FIELD_NUMBER: _ClassVar[int]
    VOCABULARY_FIELD_NUMBER: _ClassVar[int]
    WEIGHTS_FIELD_NUMBER: _ClassVar[int]
    chat_template: bool
    default_algorithm_temperature: float
    default_remasking: _generation_pb2.Remasking
    default_temperature: float
    default_top_k: int
    default_top_p: float
    device: str
    dtype: str
    end_tokens: _containers.RepeatedCompositeFieldContainer[Token]
    family: str
    ffn_size: int
    head_dim: int
    heads: int
    hidden_size: int
    kv_heads: int
    layers: int
    mask_token: str
    mask_token_id: int
    max_tokens: int
    memory_bytes: int
    name: str
    parameters: int
    ready: bool
    tokenizer: str
    vocabulary: int
    weights: str
    def __init__(self, name: _Optional[str] = ..., family: _Optional[str] = ..., parameters: _Optional[int] = ..., layers: _Optional[int] = ..., heads: _Optional[int] = ..., kv_heads: _Optional[int] = ..., head_dim: _Optional[int] = ..., vocabulary: _Optional[int] = ..., max_tokens: _Optional[int] = ..., mask_token_id: _Optional[int] = ..., dtype: _Optional[str] = ..., device: _Optional[str] = ..., ready: bool = ..., mask_token: _Optional[str] = ..., end_tokens: _Optional[_Iterable[_Union[Token, _Mapping]]] = ..., hidden_size: _Optional[int] = ..., ffn_size: _Optional[int] = ..., tokenizer: _Optional[str] = ..., chat_template: bool = ..., memory_bytes: _Optional[int] = ..., default_temperature: _Optional[float] = ..., default_remasking: _Optional[_Union[_generation_pb2.Remasking, str]] = ..., default_top_p: _Optional[float] = ..., default_top_k: _Optional[int] = ..., default_algorithm_temperature: _Optional[float] = ..., weights: _Optional[str] = ...) -> None: ...

class Token(_message.Message):
    __slots__ = ["id", "text"]
    ID_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    id: int
    text: str
    def __init__(self, id: _Optional[int] = ..., text: _Optional[str] = ...) -> None: ...
