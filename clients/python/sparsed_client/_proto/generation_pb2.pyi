from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor
FINISH_REASON_LENGTH: FinishReason
FINISH_REASON_STOP: FinishReason
FINISH_REASON_UNSPECIFIED: FinishReason
FLOOR_ACTION_FULL: FloorAction
FLOOR_ACTION_REFRESH: FloorAction
FLOOR_ACTION_UNSPECIFIED: FloorAction
HEAD_BUDGETS_BY_MASS: HeadBudgets
HEAD_BUDGETS_UNIFORM: HeadBudgets
HEAD_BUDGETS_UNSPECIFIED: HeadBudgets
REMASKING_ENTROPY: Remasking
REMASKING_LOW_CONFIDENCE: Remasking
REMASKING_MASKGIT_PLUS: Remasking
REMASKING_ORIGIN: Remasking
REMASKING_RANDOM: Remasking
REMASKING_TOPK_MARGIN: Remasking
REMASKING_UNSPECIFIED: Remasking
SELECTION_SCALE_HEAD_DIM: SelectionScale
SELECTION_SCALE_N_HEADS: SelectionScale
SELECTION_SCALE_UNSPECIFIED: SelectionScale
SPARSE_MODE_AUTO: SparseMode
SPARSE_MODE_OFF: SparseMode
SPARSE_MODE_SPARSED: SparseMode
SPARSE_MODE_UNSPECIFIED: SparseMode
SPARSE_PRESET_BALANCED: SparsePreset
SPARSE_PRESET_EXACT: SparsePreset
SPARSE_PRESET_FAST: SparsePreset
SPARSE_PRESET_UNSPECIFIED: SparsePreset
STEP_KIND_FULL: StepKind
STEP_KIND_SELECT: StepKind
STEP_KIND_SPARSE: StepKind
STEP_KIND_UNSPECIFIED: StepKind

class Accepted(_message.Message):
    __slots__ = ["planned_steps", "queue_position", "request_id", "seed"]
    PLANNED_STEPS_FIELD_NUMBER: _ClassVar[int]
    QUEUE_POSITION_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    planned_steps: int
    queue_position: int
    request_id: str
    seed: int
    def __init__(self, request_id: _Optional[str] = ..., queue_position: _Optional[int] = ..., planned_steps: _Optional[int] = ..., seed: _Optional[int] = ...) -> None: ...

class Block(_message.Message):
    __slots__ = ["position", "text", "token_ids"]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    TOKEN_IDS_FIELD_NUMBER: _ClassVar[int]
    position: int
    text: str
    token_ids: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, position: _Optional[int] = ..., text: _Optional[str] = ..., token_ids: _Optional[_Iterable[int]] = ...) -> None: ...

class Chat(_message.Message):
    __slots__ = ["messages"]
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    messages: _containers.RepeatedCompositeFieldContainer[ChatMessage]
    def __init__(self, messages: _Optional[_Iterable[_Union[ChatMessage, _Mapping]]] = ...) -> None: ...

class ChatMessage(_message.Message):
    __slots__ = ["content", "role"]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    content: str
    role: str
    def __init__(self, role: _Optional[str] = ..., content: _Optional[str] = ...) -> None: ...

class DetokenizeRequest(_message.Message):
    __slots__ = ["keep_special", "model", "token_ids"]
    KEEP_SPECIAL_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    TOKEN_IDS_FIELD_NUMBER: _ClassVar[int]
    keep_special: bool
    model: str
    token_ids: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, model: _Optional[str] = ..., token_ids: _Optional[_Iterable[int]] = ..., keep_special: bool = ...) -> None: ...

class DetokenizeResponse(_message.Message):
    __slots__ = ["text"]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    text: str
    def __init__(self, text: _Optional[str] = ...) -> None: ...

class Frame(_message.Message):
    __slots__ = ["step", "text", "token_ids"]
    STEP_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    TOKEN_IDS_FIELD_NUMBER: _ClassVar[int]
    step: int
    text: str
    token_ids: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, step: _Optional[int] = ..., token_ids: _Optional[_Iterable[int]] = ..., text: _Optional[str] = ...) -> None: ...

class GenerateRequest(_message.Message):
    __slots__ = ["chat", "infill", "model", "priority", "prompt", "request_id", "sampling", "sparse", "target_ids", "token_confidences", "token_ids"]
    CHAT_FIELD_NUMBER: _ClassVar[int]
    INFILL_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    PROMPT_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    SAMPLING_FIELD_NUMBER: _ClassVar[int]
    SPARSE_FIELD_NUMBER: _ClassVar[int]
    TARGET_IDS_FIELD_NUMBER: _ClassVar[int]
    TOKEN_CONFIDENCES_FIELD_NUMBER: _ClassVar[int]
    TOKEN_IDS_FIELD_NUMBER: _ClassVar[int]
    chat: Chat
    infill: Infill
    model: str
    priority: int
    prompt: str
    request_id: str
    sampling: SamplingOptions
    sparse: SparseOptions
    target_ids: _containers.RepeatedScalarFieldContainer[int]
    token_confidences: bool
    token_ids: TokenIds
    def __init__(self, model: _Optional[str] = ..., prompt: _Optional[str] = ..., chat: _Optional[_Union[Chat, _Mapping]] = ..., token_ids: _Optional[_Union[TokenIds, _Mapping]] = ..., infill: _Optional[_Union[Infill, _Mapping]] = ..., sampling: _Optional[_Union[SamplingOptions, _Mapping]] = ..., sparse: _Optional[_Union[SparseOptions, _Mapping]] = ..., request_id: _Optional[str] = ..., priority: _Optional[int] = ..., token_confidences: bool = ..., target_ids: _Optional[_Iterable[int]] = ...) -> None: ...

class GenerateResponse(_message.Message):
    __slots__ = ["finish_reason", "hole_texts", "model", "request_id", "seed", "sparse", "text", "timings", "token_ids", "tokens", "usage"]
    FINISH_REASON_FIELD_NUMBER: _ClassVar[int]
    HOLE_TEXTS_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    SPARSE_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    TIMINGS_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    TOKEN_IDS_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    finish_reason: FinishReason
    hole_texts: _containers.RepeatedScalarFieldContainer[str]
    model: str
    request_id: str
    seed: int
    sparse: SparseReport
    text: str
    timings: Timings
    token_ids: _containers.RepeatedScalarFieldContainer[int]
    tokens: _containers.RepeatedCompositeFieldContainer[TokenDetail]
    usage: Usage
    def __init__(self, request_id: _Optional[str] = ..., model: _Optional[str] = ..., text: _Optional[str] = ..., token_ids: _Optional[_Iterable[int]] = ..., finish_reason: _Optional[_Union[FinishReason, str]] = ..., usage: _Optional[_Union[Usage, _Mapping]] = ..., timings: _Optional[_Union[Timings, _Mapping]] = ..., sparse: _Optional[_Union[SparseReport, _Mapping]] = ..., seed: _Optional[int] = ..., tokens: _Optional[_Iterable[_Union[TokenDetail, _Mapping]]] = ..., hole_texts: _Optional[_Iterable[str]] = ...) -> None: ...

class Infill(_message.Message):
    __slots__ = ["parts"]
    PARTS_FIELD_NUMBER: _ClassVar[int]
    parts: _containers.RepeatedCompositeFieldContainer[InfillPart]
    def __init__(self, parts: _Optional[_Iterable[_Union[InfillPart, _Mapping]]] = ...) -> None: ...

class InfillPart(_message.Message):
    __slots__ = ["hole_tokens", "text"]
    HOLE_TOKENS_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    hole_tokens: int
    text: str
    def __init__(self, text: _Optional[str] = ..., hole_tokens: _Optional[int] = ...) -> None: ...

class Progress(_message.Message):
    __slots__ = ["committed_tokens", "kind", "step", "steps"]
    COMMITTED_TOKENS_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    committed_tokens: int
    kind: StepKind
    step: int
    steps: int
    def __init__(self, step: _Optional[int] = ..., steps: _Optional[int] = ..., committed_tokens: _Optional[int] = ..., kind: _Optional[_Union[StepKind, str]] = ...) -> None: ...

class SamplingOptions(_message.Message):
    __slots__ = ["algorithm_temperature", "block_length", "cfg_scale", "confidence_eos_eot_inf", "confidence_threshold", "gen_length", "logits_eos_inf", "remasking", "seed", "steps", "stop", "stop_at_end", "temperature", "top_k", "top_p"]
    ALGORITHM_TEMPERATURE_FIELD_NUMBER: _ClassVar[int]
    BLOCK_LENGTH_FIELD_NUMBER: _ClassVar[int]
    CFG_SCALE_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_EOS_EOT_INF_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    GEN_LENGTH_FIELD_NUMBER: _ClassVar[int]
    LOGITS_EOS_INF_FIELD_NUMBER: _ClassVar[int]
    REMASKING_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    STOP_AT_END_FIELD_NUMBER: _ClassVar[int]
    STOP_FIELD_NUMBER: _ClassVar[int]
    TEMPERATURE_FIELD_NUMBER: _ClassVar[int]
    TOP_K_FIELD_NUMBER: _ClassVar[int]
    TOP_P_FIELD_NUMBER: _ClassVar[int]
    algorithm_temperature: float
    block_length: int
    cfg_scale: float
    confidence_eos_eot_inf: bool
    confidence_threshold: float
    gen_length: int
    logits_eos_inf: bool
    remasking: Remasking
    seed: int
    steps: int
    stop: _containers.RepeatedScalarFieldContainer[str]
    stop_at_end: bool
    temperature: float
    top_k: int
    top_p: float
    def __init__(self, gen_length: _Optional[int] = ..., steps: _Optional[int] = ..., block_length: _Optional[int] = ..., temperature: _Optional[float] = ..., seed: _Optional[int] = ..., remasking: _Optional[_Union[Remasking, str]] = ..., cfg_scale: _Optional[float] = ..., stop_at_end: bool = ..., stop: _Optional[_Iterable[str]] = ..., top_p: _Optional[float] = ..., top_k: _Optional[int] = ..., algorithm_temperature: _Optional[float] = ..., logits_eos_inf: bool = ..., confidence_eos_eot_inf: bool = ..., confidence_threshold: _Optional[float] = ...) -> None: ...

class SparseOptions(_message.Message):
    __slots__ = ["below_floor", "block_size", "budgets", "isolated", "mode", "preset", "recall_every", "recall_floor", "refresh_every", "refresh_steps", "refresh_until", "scale", "select", "skip", "switch_overlap"]
    BELOW_FLOOR_FIELD_NUMBER: _ClassVar[int]
    BLOCK_SIZE_FIELD_NUMBER: _ClassVar[int]
    BUDGETS_FIELD_NUMBER: _ClassVar[int]
    ISOLATED_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    PRESET_FIELD_NUMBER: _ClassVar[int]
    RECALL_EVERY_FIELD_NUMBER: _ClassVar[int]
    RECALL_FLOOR_FIELD_NUMBER: _ClassVar[int]
    REFRESH_EVERY_FIELD_NUMBER: _ClassVar[int]
    REFRESH_STEPS_FIELD_NUMBER: _ClassVar[int]
    REFRESH_UNTIL_FIELD_NUMBER: _ClassVar[int]
    SCALE_FIELD_NUMBER: _ClassVar[int]
    SELECT_FIELD_NUMBER: _ClassVar[int]
    SKIP_FIELD_NUMBER: _ClassVar[int]
    SWITCH_OVERLAP_FIELD_NUMBER: _ClassVar[int]
    below_floor: FloorAction
    block_size: int
    budgets: HeadBudgets
    isolated: bool
    mode: SparseMode
    preset: SparsePreset
    recall_every: int
    recall_floor: float
    refresh_every: int
    refresh_steps: _containers.RepeatedScalarFieldContainer[int]
    refresh_until: float
    scale: SelectionScale
    select: float
    skip: float
    switch_overlap: float
    def __init__(self, mode: _Optional[_Union[SparseMode, str]] = ..., skip: _Optional[float] = ..., select: _Optional[float] = ..., block_size: _Optional[int] = ..., scale: _Optional[_Union[SelectionScale, str]] = ..., refresh_steps: _Optional[_Iterable[int]] = ..., refresh_every: _Optional[int] = ..., refresh_until: _Optional[float] = ..., recall_every: _Optional[int] = ..., recall_floor: _Optional[float] = ..., below_floor: _Optional[_Union[FloorAction, str]] = ..., switch_overlap: _Optional[float] = ..., isolated: bool = ..., budgets: _Optional[_Union[HeadBudgets, str]] = ..., preset: _Optional[_Union[SparsePreset, str]] = ...) -> None: ...

class SparseReport(_message.Message):
    __slots__ = ["block_size", "density", "estimates_below_floor", "first_sparse_step", "lowest_recall", "mask_cache_bytes", "recall", "recall_estimates", "select", "skip", "used"]
    BLOCK_SIZE_FIELD_NUMBER: _ClassVar[int]
    DENSITY_FIELD_NUMBER: _ClassVar[int]
    ESTIMATES_BELOW_FLOOR_FIELD_NUMBER: _ClassVar[int]
    FIRST_SPARSE_STEP_FIELD_NUMBER: _ClassVar[int]
    LOWEST_RECALL_FIELD_NUMBER: _ClassVar[int]
    MASK_CACHE_BYTES_FIELD_NUMBER: _ClassVar[int]
    RECALL_ESTIMATES_FIELD_NUMBER: _ClassVar[int]
    RECALL_FIELD_NUMBER: _ClassVar[int]
    SELECT_FIELD_NUMBER: _ClassVar[int]
    SKIP_FIELD_NUMBER: _ClassVar[int]
    USED_FIELD_NUMBER: _ClassVar[int]
    block_size: int
    density: float
    estimates_below_floor: int
    first_sparse_step: int
    lowest_recall: float
    mask_cache_bytes: int
    recall: float
    recall_estimates: int
    select: float
    skip: float
    used: bool
    def __init__(self, used: bool = ..., block_size: _Optional[int] = ..., skip: _Optional[float] = ..., select: _Optional[float] = ..., density: _Optional[float] = ..., mask_cache_bytes: _Optional[int] = ..., recall: _Optional[float] = ..., lowest_recall: _Optional[float] = ..., recall_estimates: _Optional[int] = ..., estimates_below_floor: _Optional[int] = ..., first_sparse_step: _Optional[int] = ...) -> None: ...

class StreamGenerateRequest(_message.Message):
    __slots__ = ["frames", "progress", "request"]
    FRAMES_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    frames: bool
    progress: bool
    request: GenerateRequest
    def __init__(self, request: _Optional[_Union[GenerateRequest, _Mapping]] = ..., frames: bool = ..., progress: bool = ...) -> None: ...

class StreamGenerateResponse(_message.Message):
    __slots__ = ["accepted", "block", "final", "frame", "progress"]
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    BLOCK_FIELD_NUMBER: _ClassVar[int]
    FINAL_FIELD_NUMBER: _ClassVar[int]
    FRAME_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    accepted: Accepted
    block: Block
    final: GenerateResponse
    frame: Frame
    progress: Progress
    def __init__(self, accepted: _Optional[_Union[Accepted, _Mapping]] = ..., progress: _Optional[_Union[Progress, _Mapping]] = ..., frame: _Optional[_Union[Frame, _Mapping]] = ..., block: _Optional[_Union[Block, _Mapping]] = ..., final: _Optional[_Union[GenerateResponse, _Mapping]] = ...) -> None: ...

class Timings(_message.Message):
    __slots__ = ["full", "queue", "select", "sparse", "total"]
    FULL_FIELD_NUMBER: _ClassVar[int]
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    SELECT_FIELD_NUMBER: _ClassVar[int]
    SPARSE_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    full: _duration_pb2.Duration
    queue: _duration_pb2.Duration
    select: _duration_pb2.Duration
    sparse: _duration_pb2.Duration
    total: _duration_pb2.Duration
    def __init__(self, queue: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., full: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., select: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., sparse: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., total: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class TokenDetail(_message.Message):
    __slots__ = ["commit_step", "confidence", "id", "log_probability"]
    COMMIT_STEP_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    LOG_PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    commit_step: int
    confidence: float
    id: int
    log_probability: float
    def __init__(self, id: _Optional[int] = ..., confidence: _Optional[float] = ..., commit_step: _Optional[int] = ..., log_probability: _Optional[float] = ...) -> None: ...

class TokenIds(_message.Message):
    __slots__ = ["ids"]
    IDS_FIELD_NUMBER: _ClassVar[int]
    ids: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, ids: _Optional[_Iterable[int]] = ...) -> None: ...

class TokenizeRequest(_message.Message):
    __slots__ = ["chat", "model", "text"]
    CHAT_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    chat: Chat
    model: str
    text: str
    def __init__(self, model: _Optional[str] = ..., text: _Optional[str] = ..., chat: _Optional[_Union[Chat, _Mapping]] = ...) -> None: ...

class TokenizeResponse(_message.Message):
    __slots__ = ["pieces", "token_ids"]
    PIECES_FIELD_NUMBER: _ClassVar[int]
    TOKEN_IDS_FIELD_NUMBER: _ClassVar[int]
    pieces: _containers.RepeatedScalarFieldContainer[str]
    token_ids: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, token_ids: _Optional[_Iterable[int]] = ..., pieces: _Optional[_Iterable[str]] = ...) -> None: ...

class Usage(_message.Message):
    __slots__ = ["full_steps", "generated_tokens", "prompt_tokens", "select_steps", "sparse_steps"]
    FULL_STEPS_FIELD_NUMBER: _ClassVar[int]
    GENERATED_TOKENS_FIELD_NUMBER: _ClassVar[int]
    PROMPT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    SELECT_STEPS_FIELD_NUMBER: _ClassVar[int]
    SPARSE_STEPS_FIELD_NUMBER: _ClassVar[int]
    full_steps: int
    generated_tokens: int
    prompt_tokens: int
    select_steps: int
    sparse_steps: int
    def __init__(self, prompt_tokens: _Optional[int] = ..., generated_tokens: _Optional[int] = ..., full_steps: _Optional[int] = ..., select_steps: _Optional[int] = ..., sparse_steps: _Optional[int] = ...) -> None: ...

class Remasking(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = []

class SparseMode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = []

class SparsePreset(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = []

class HeadBudgets(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = []

class FloorAction(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = []

class SelectionScale(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = []

class FinishReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = []

class StepKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = []
