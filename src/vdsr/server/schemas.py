"""What the API takes and gives, as types for its document."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class Options(BaseModel):
    """What is to become of a picture; x4 if no size is given."""

    model_config = ConfigDict(extra="forbid")

    scale: float | None = Field(None, ge=1, le=16, description="Factor for both sides.")
    width: int | None = Field(None, ge=1, description="Width in px; the height follows.")
    height: int | None = Field(None, ge=1, description="Height in px; the width follows.")
    fit: str | None = Field(
        None, pattern=r"^[0-9]{1,9}x[0-9]{1,9}$", description="Box to fit into: `1920x1080`."
    )
    restore: bool = Field(False, description="Keep the size; run the network as is.")
    format: Literal["png", "jpeg", "webp", "tiff", "avif", "gif"] | None = Field(
        None, description="Of the result; by default that of the picture, where it is written."
    )
    quality: int | None = Field(None, ge=1, le=100, description="For lossy formats.")
    page: int | None = Field(None, ge=1, description="Page of a TIFF file, from 1.")
    model: str | None = Field(None, description="One of `/v1/models`.")
    name: str | None = Field(
        None, max_length=255, description="What the picture is called, for a raw body."
    )

    def for_upscaler(self) -> dict[str, Any]:
        """As `Upscaler.upscale` takes them."""
        given = self.model_dump(exclude={"model", "name"}, exclude_none=True)
        if self.fit is not None:
            given["fit"] = [int(side) for side in self.fit.split("x")]
        return given


class JobInfo(BaseModel):
    """A picture in the hands of the server."""

    id: str = Field(examples=["mIvWv3JcXs0aM1c2b0nSxQ4f"])
    state: Literal["waiting", "working", "done", "failed"]
    name: str = Field(examples=["photo.jpg"])
    width: int = Field(description="Of the picture, px.", examples=[480])
    height: int = Field(examples=[270])
    result_width: int = Field(examples=[1920])
    result_height: int = Field(examples=[1080])
    format: str = Field(examples=["jpeg"])
    progress: float = Field(description="0..1", examples=[0.5])
    error: str | None = None
    result_name: str = Field(examples=["photo_x4.jpg"])
    result_bytes: int | None = None
    digest: str | None = Field(None, description="SHA-256 of the result.")
    seconds: float | None = Field(None, description="That it took.")
    notices: list[str] = Field(default_factory=list, description="What was changed or lost.")
    expires: float | None = Field(None, description="Seconds since 1970.")


class ModelInfo(BaseModel):
    """A model that the server has open."""

    name: str = Field(examples=["vdsr"])
    version: str = Field(examples=["0.4.0"])
    digest: str
    precision: str = Field(examples=["int8"])
    backend: str = Field(examples=["openvino"])
    scales: list[int] = Field(examples=[[2, 3, 4]])
    license: str = Field(examples=["CC0-1.0"])


class Models(BaseModel):
    """The models that the server has open, and its limits."""

    models: list[ModelInfo]
    formats: list[str]
    max_pixels: int
    max_body: int


class Figures(BaseModel):
    """How well a result, shrunk again, agrees with its picture."""

    psnr: float | None = Field(description="dB; null where they are equal.", examples=[48.1])
    largest: float = Field(description="Largest difference, levels of 255.", examples=[9.5])


class State(BaseModel):
    """Whether the server is well."""

    status: str = Field(examples=["ok"])
    version: str


class ProblemInfo(BaseModel):
    """What was wrong (RFC 9457)."""

    type: str = "about:blank"
    title: str = Field(examples=["Too Many Requests"])
    status: int = Field(examples=[429])
    detail: str = Field(examples=["64 pictures are waiting"])
    request_id: str = Field(examples=["9f0c6f6f7a0c1a2b"])
