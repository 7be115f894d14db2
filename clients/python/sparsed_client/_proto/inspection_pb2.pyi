from sparsed_client._proto import generation_pb2 as _generation_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class HeadPattern(_message.Message):
    __slots__ = ["fresh_recall", "head", "importance", "kept", "kind", "layer", "recall", "similarity", "step"]
    FRESH_RECALL_FIELD_NUMBER: _ClassVar[int]
    HEAD_FIELD_NUMBER: _ClassVar[int]
    IMPORTANCE_FIELD_NUMBER: _ClassVar[int]
    KEPT_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    LAYER_FIELD_NUMBER: _ClassVar[int]
    RECALL_FIELD_NUMBER: _ClassVar[int]
    SIMILARITY_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    fresh_recall: float
    head: int
    importance: _containers.RepeatedScalarFieldContainer[float]
    kept: bytes
    kind: _generation_pb2.StepKind
    layer: int
    recall: float
    similarity: _containers.RepeatedScalarFieldContainer[float]
    step: int
    def __init__(self, step: _Optional[int] = ..., kind: _Optional[_Union[_generation_pb2.StepKind, str]] = ..., layer: _Optional[int] = ..., head: _Optional[int] = ..., kept: _Optional[bytes] = ..., importance: _Optional[_Iterable[float]] = ..., recall: _Optional[float] = ..., fresh_recall: _Optional[float] = ..., similarity: _Optional[_Iterable[float]] = ...) -> None: ...

class InspectRequest(_message.Message):
    __slots__ = ["heads", "importance", "layers", "request", "steps"]
    HEADS_FIELD_NUMBER: _ClassVar[int]
    IMPORTANCE_FIELD_NUMBER: _ClassVar[int]
    LAYERS_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    heads: _containers.RepeatedScalarFieldContainer[int]
    importance: bool
    layers: _containers.RepeatedScalarFieldContainer[int]
    request: _generation_pb2.GenerateRequest
    steps: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, request: _Optional[_Union[_generation_pb2.GenerateRequest, _Mapping]] = ..., layers: _Optional[_Iterable[int]] = ..., heads: _Optional[_Iterable[int]] = ..., steps: _Optional[_Iterable[int]] = ..., importance: bool = ...) -> None: ...

class InspectResponse(_message.Message):
    __slots__ = ["final", "head", "started"]
    FINAL_FIELD_NUMBER: _ClassVar[int]
    HEAD_FIELD_NUMBER: _ClassVar[int]
    STARTED_FIELD_NUMBER: _ClassVar[int]
    final: _generation_pb2.GenerateResponse
    head: HeadPattern
    started: InspectionStarted
    def __init__(self, started: _Optional[_Union[InspectionStarted, _Mapping]] = ..., head: _Optional[_Union[HeadPattern, _Mapping]] = ..., final: _Optional[_Union[_generation_pb2.GenerateResponse, _Mapping]] = ...) -> None: ...

class InspectionStarted(_message.Message):
    __slots__ = ["accepted", "block_size", "blocks", "first_canvas_block", "heads", "layers", "select_step", "steps"]
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    BLOCKS_FIELD_NUMBER: _ClassVar[int]
    BLOCK_SIZE_FIELD_NUMBER: _ClassVar[int]
    FIRST_CANVAS_BLOCK_FIELD_NUMBER: _ClassVar[int]
    HEADS_FIELD_NUMBER: _ClassVar[int]
    LAYERS_FIELD_NUMBER: _ClassVar[int]
    SELECT_STEP_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    accepted: _generation_pb2.Accepted
    block_size: int
    blocks: int
    first_canvas_block: int
    heads: _containers.RepeatedScalarFieldContainer[int]
    layers: _containers.RepeatedScalarFieldContainer[int]
    select_step: int
    steps: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, accepted: _Optional[_Union[_generation_pb2.Accepted, _Mapping]] = ..., layers: _Optional[_Iterable[int]] = ..., heads: _Optional[_Iterable[int]] = ..., steps: _Optional[_Iterable[int]] = ..., select_step: _Optional[int] = ..., block_size: _Optional[int] = ..., blocks: _Optional[int] = ..., first_canvas_block: _Optional[int] = ...) -> None: ...
