"""The console: web pages by which the shop's owner sees and steers a recommender. HTTP, sign-in, templates and words.

It imports nothing of `pipelines`: what pages show and ask comes by the ports (`ports/`), which `pipelines/console/`
fills. A page is a file of `pages/`, a template and a file of `words/`.
"""
