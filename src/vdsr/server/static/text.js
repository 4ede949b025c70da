// All that people read, in both languages.
const texts = {
  en: {
    what: "Enlarge pictures faithfully. Nothing is invented that cannot be shown.",
    language: "Language", token: "This server asks for a token", enter: "Enter",
    choose_heading: "Pictures", scale: "Scale", restore: "keep the size", model: "Model",
    format: "Format", same: "as the picture",
    drop: "Drop pictures here, paste them, or choose files",
    limits: "up to {mib} MiB, and {mpx} Mpixel in the result",
    list_heading: "Results", all: "Download all", zoom: "Zoom", fit: "whole",
    residual: "What was added", pan: "Move", left: "left", up: "up", down: "down", right: "right",
    hint: "Drag the slider, or move it with the arrow keys. Zoomed in, drag with Shift, or use the arrow buttons, to move.",
    api: "API", sending: "being sent", waiting: "waits", working: "in work", done: "done",
    failed: "failed: {why}", show: "Compare", download: "Download", remove: "Remove",
    is_done: "{name} is done", is_failed: "{name}: {why}",
    size: "Size", from_to: "{a} to {b} px", took: "Took", seconds: "{n} s",
    consistency: "Shrunk again, it agrees with the picture",
    agrees: "PSNR {psnr} dB, largest difference {largest} of 255", equal: "exactly",
    notices: "To note", large: "What was added to a picture as large as this is shown at 100% and 400%.",
    view: "{name}: bicubic on the left, result on the right", wrong_token: "This token is not known.",
    unreachable: "the server cannot be reached", shown: "Shown", model_used: "Model",
    residual_view: "what was added: gray is nothing; differences times 4",
  },
  zh: {
    what: "忠实地放大图片。凡是添加的内容，都可以展示给您看。",
    language: "语言", token: "此服务器需要令牌", enter: "进入",
    choose_heading: "图片", scale: "倍数", restore: "保持尺寸", model: "模型",
    format: "格式", same: "与原图相同",
    drop: "把图片拖到这里、粘贴，或选择文件",
    limits: "文件最大 {mib} MiB，结果最大 {mpx} 百万像素",
    list_heading: "结果", all: "全部下载", zoom: "缩放", fit: "整图",
    residual: "添加的内容", pan: "移动", left: "向左", up: "向上", down: "向下", right: "向右",
    hint: "拖动滑块，或用方向键移动。放大后按住 Shift 拖动，或用方向按钮移动画面。",
    api: "接口", sending: "正在上传", waiting: "等待中", working: "处理中", done: "完成",
    failed: "失败：{why}", show: "对比", download: "下载", remove: "移除",
    is_done: "{name} 已完成", is_failed: "{name}：{why}",
    size: "尺寸", from_to: "{a} 到 {b} 像素", took: "用时", seconds: "{n} 秒",
    consistency: "重新缩小后与原图一致的程度",
    agrees: "PSNR {psnr} dB，最大差值 {largest}（满值 255）", equal: "完全相同",
    notices: "注意", large: "这么大的图片，添加的内容在 100% 和 400% 下显示。",
    view: "{name}：左为双三次插值，右为结果", wrong_token: "令牌无效。",
    unreachable: "无法连接服务器", shown: "显示", model_used: "模型",
    residual_view: "添加的内容：灰色表示没有变化，差值放大 4 倍",
  },
};
let language = "en";

export function text(key, values = {}) {
  return (texts[language][key] ?? texts.en[key]).replace(/\{(\w+)\}/g, (_, name) => values[name]);
}

export function setLanguage(chosen) {
  language = chosen in texts ? chosen : "en";
  document.documentElement.lang = language === "zh" ? "zh-Hans" : "en";
  for (const one of document.querySelectorAll("[data-text]")) one.textContent = text(one.dataset.text);
  for (const one of document.querySelectorAll("[data-label]")) one.setAttribute("aria-label", text(one.dataset.label));
  return language;
}
